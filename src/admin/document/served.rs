use std::sync::LazyLock;

use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::finish::finished;

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(finished);

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // Texts and numbers: serde_json has nothing to refuse here.
    serde_json::to_string_pretty(&*DOCUMENT).unwrap_or_default()
});

/// The document as it is served.
pub(crate) fn text() -> &'static str {
    &TEXT
}

/// Whether a call takes no parameters behind a question mark. `path` is as the document has it, and `method` one of HTTP's; of
/// what is no call nothing is said.
pub(in crate::admin) fn takes_no_parameters(method: &str, path: &str) -> bool {
    let item = DOCUMENT.paths.paths.get(path);
    let operation = item.and_then(|item| operations(item).find(|(name, _)| *name == method));
    operation.is_some_and(|(_, operation)| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.all(|parameter| match parameter {
            RefOr::T(parameter) => parameter.parameter_in != ParameterIn::Query,
            RefOr::Ref(_) => true,
        })
    })
}

/// Operations of a path, with the methods of those that there are here.
fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let operations = [("GET", get), ("PUT", put), ("POST", post), ("DELETE", delete)];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}
