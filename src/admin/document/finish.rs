use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{OpenApi, Ref, RefOr};

use super::super::routes::described;
use super::super::wire::Preview;
use super::problems::{problem, problems};

/// The document, with what holds for all of it.
pub(super) fn finished() -> OpenApi {
    let mut document = described();
    for (path, item) in &mut document.paths.paths {
        let PathItem { get, put, post, delete, .. } = item;
        for operation in [get, put, post, delete].into_iter().flatten() {
            answer(path, operation);
        }
    }
    let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (name, schema) in schemas {
        if *name == Preview::name() {
            close(schema);
        }
    }
    document
}

/// Adds what is answered in front of a handler, and says in which shape a refusal comes.
fn answer(path: &str, operation: &mut Operation) {
    let is_open = operation.security.as_ref().is_some_and(Vec::is_empty);
    let has_body = operation.request_body.is_some();
    let answers = &mut operation.responses.responses;
    for (status, response) in answers.iter_mut() {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            *response = problem(std::mem::take(response));
        }
    }
    for (status, name, _) in problems() {
        let is_answered = match status {
            400 => !is_open || path.starts_with("/v1/"),
            403 | 408 | 413 => true,
            422 => has_body,
            _ => !is_open,
        };
        if is_answered {
            let shared = || RefOr::Ref(Ref::from_response_name(name));
            answers.entry(status.to_string()).or_insert_with(shared);
        }
    }
}

/// What is sent has no other members than these. For structs that is derived, for enums it is not.
fn close(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::OneOf(one_of)) => one_of.items.iter_mut().for_each(close),
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            object.properties.values_mut().for_each(close);
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}
