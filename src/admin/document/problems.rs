use utoipa::ToSchema;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, Response, ResponseBuilder};

use super::super::wire::Problem;

/// What is answered in front of every handler, or by every one: status, name, and what it says.
pub(super) fn problems() -> [(u16, &'static str, Response); 9] {
    let retry = || {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait.")).build()
    };
    let challenge = || {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("What is to be shown (RFC 6750)."))
            .build()
    };
    [
        (
            400,
            "BadRequest",
            "It is not what is asked for here: not JSON of this shape, or a parameter that is not known.",
        ),
        (401, "Unauthorized", "Nothing says who asks, or what says so is not known here."),
        (403, "Forbidden", "Who asks may not do that; or it comes from a web page."),
        (408, "RequestTimeout", "The request did not come whole in time."),
        (413, "PayloadTooLarge", "The body is larger than 64 KiB."),
        (422, "UnprocessableEntity", "The shape is right, and the values make no sense."),
        (429, "TooManyRequests", "Too many logins have failed from this address."),
        (500, "InternalServerError", "Something that should not happen: a fault of Switchback's own."),
        (
            503,
            "ServiceUnavailable",
            "It cannot be done now: it could not be written down, or Switchback is stopping.",
        ),
    ]
    .map(|(status, name, description)| {
        let mut response = problem(ResponseBuilder::new().description(description).build());
        match status {
            401 => drop(response.headers.insert("WWW-Authenticate".into(), challenge().into())),
            429 | 503 => drop(response.headers.insert("Retry-After".into(), retry().into())),
            _ => {}
        }
        (status, name, response)
    })
}

/// With Problem Details as its body.
pub(super) fn problem(mut response: Response) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    response.content.insert("application/problem+json".into(), content.into());
    response
}
