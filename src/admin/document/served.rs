use std::sync::LazyLock;

use axum::http::Method;
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

/// Every call: methods and paths.
pub(in crate::admin) fn calls() -> Vec<(Method, &'static str)> {
    let items = DOCUMENT.paths.paths.iter();
    items.flat_map(|(path, item)| operations(item).map(|(method, _)| (method, path.as_str()))).collect()
}

/// Whether a call takes no parameters behind a question mark. `path` is as the document has it, and `method` one of HTTP's; of
/// what is no call nothing is said.
pub(in crate::admin) fn takes_no_parameters(method: &Method, path: &str) -> bool {
    let item = DOCUMENT.paths.paths.get(path);
    let operation = item.and_then(|item| operations(item).find(|(of, _)| of == method));
    operation.is_some_and(|(_, operation)| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.all(|parameter| match parameter {
            RefOr::T(parameter) => parameter.parameter_in != ParameterIn::Query,
            RefOr::Ref(_) => true,
        })
    })
}

/// Operations of a path, with the methods of those that there are here.
fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let PathItem { get, put, post, delete, .. } = item;
    let operations = [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete)];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}
