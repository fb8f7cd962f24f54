use utoipa::ToSchema;
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{InfoBuilder, License, OpenApi, OpenApiBuilder};

use crate::control::Announcement;

use super::super::wire::{Event, Missed, Problem};
use super::problems::problems;

/// What the list of routes begins with.
pub(in crate::admin) fn beginning() -> OpenApi {
    let license = License::new(env!("CARGO_PKG_LICENSE"));
    let info = InfoBuilder::new()
        .title("Switchback")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    let components = problems().into_iter().fold(
        ComponentsBuilder::new()
            .security_scheme("token", bearer())
            .security_scheme("certificate", mutual_tls())
            .schema_from::<Problem>()
            .schema_from::<Event>()
            .schema_from::<Missed>()
            .schema_from::<Announcement>(),
        |components, (_, name, response)| components.response(name, response),
    );
    let mut components = components.build();
    let mut of_events = Vec::new();
    Event::schemas(&mut of_events);
    components.schemas.extend(of_events);
    let no_scopes: [&str; 0] = [];
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags()))
        .components(Some(components))
        .security(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new("token", no_scopes),
            SecurityRequirement::new("certificate", no_scopes),
        ]))
        .build()
}

const DESCRIPTION: &str = "\
The API by which people and programs look and steer.

Times end in `_unix_ms` and are milliseconds since 1970 UTC; durations end in `_s`, `_ms` or `_us`; weights end in `_percent`; \
shares are 0 to 1. What is absent is `null` or left out. New members and new words may come: readers pass over what they do \
not know. What is sent to us is read strictly: a member or a parameter that is not known is refused.

A body is JSON whatever its `Content-Type` says. `HEAD` is answered where `GET` is.

Everything that is refused is answered with Problem Details (RFC 9457). A path that is not here is answered with 404, and \
another method than those that are here with 405 and `Allow`.

Who asks is known by a token, by a client certificate, or, on the Unix socket, by the system. Where no rights are configured \
nobody need say who they are.";

fn tags() -> [Tag; 10] {
    [
        ("process", "The process, and who asks."),
        ("services", "Services as they are."),
        ("weights", "What moves traffic: weights, reverts, releases, and what would come of them."),
        ("approvals", "What waits for a second person."),
        ("ramps", "Weights that are raised step by step, and how far the migration is."),
        ("calibration", "Helios, compared with itself."),
        ("history", "Who did what."),
        ("webhooks", "Who is told what happens."),
        ("events", "What happens, as it does."),
        (
            "programs",
            "What is asked by Prometheus, by who starts and stops Switchback, and by who writes clients.",
        ),
    ]
    .map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build())
}

fn bearer() -> SecurityScheme {
    let description =
        "A token of Switchback's own (`switchback token new`), or of an identity provider (OpenID Connect).";
    SecurityScheme::Http(
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build(),
    )
}

fn mutual_tls() -> SecurityScheme {
    SecurityScheme::MutualTls {
        description: Some("A client certificate that the rights name.".to_owned()),
        deprecated: None,
        extensions: None,
    }
}
