use schemars::generate::SchemaSettings;

use super::raw_process::RawProcess;
use super::raw_service::RawService;

/// Which file a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// `switchback.toml`
    Process,
    /// `services/NAME.toml`
    Service,
}

/// The JSON Schema (draft 2020-12) by which editors complete and check a file.
pub fn schema(of: SchemaOf) -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    match of {
        SchemaOf::Process => generator.into_root_schema_for::<RawProcess>(),
        SchemaOf::Service => generator.into_root_schema_for::<RawService>(),
    }
    .to_value()
}
