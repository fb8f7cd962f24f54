use schemars::generate::SchemaSettings;

use super::raw_process::RawProcess;
use super::raw_rights::RawRights;
use super::raw_service::RawService;

/// Which file a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// `switchback.toml`
    Process,
    /// `services/NAME.toml`
    Service,
    /// The file that `rights` of `[admin]` names.
    Rights,
}

/// The JSON Schema (draft 2020-12) by which editors complete and check a file.
pub fn schema(of: SchemaOf) -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    match of {
        SchemaOf::Process => generator.into_root_schema_for::<RawProcess>(),
        SchemaOf::Service => generator.into_root_schema_for::<RawService>(),
        SchemaOf::Rights => generator.into_root_schema_for::<RawRights>(),
    }
    .to_value()
}
