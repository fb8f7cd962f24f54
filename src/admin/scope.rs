//! Which services something is about, as callers say it.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::model::ServiceName;

use super::texts::{Cluster, ReasonText, Team, Ticket};

/// Which services something is about: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// These services …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<String>>,
    /// … or those of this team …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<String>,
    /// … or those that are on this cluster …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// … or every service.
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) all: Option<bool>,
}

/// Takes services back, or has their ramps paused or resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfScope {
    /// These services …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<String>>,
    /// … or those of this team …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) team: Option<String>,
    /// … or those that are on this cluster …
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// … or every service.
    #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
    pub(crate) all: Option<bool>,
    /// Why.
    pub(crate) reason: String,
    /// The ticket that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
}

impl OfScope {
    pub(crate) fn new(scope: Scope, reason: String, ticket: Option<String>) -> Self {
        let Scope { services, team, cluster, all } = scope;
        Self { services, team, cluster, all, reason, ticket }
    }

    pub(crate) fn scope(&self) -> Scope {
        let Self { services, team, cluster, all, .. } = self.clone();
        Scope { services, team, cluster, all }
    }
}

/// What is there says something: `null` is none of the ways to name services.
fn something<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

// By hand, as it cannot be derived that there is exactly one of them: the document has a shape for each.
impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        one_of_the_ways("Which services: these, those of a team, those on a cluster, or all.", |object| {
            object
        })
    }
}

impl ToSchema for Scope {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ways(schemas);
    }
}

impl PartialSchema for OfScope {
    fn schema() -> RefOr<Schema> {
        let description = "Which services, and why: these, those of a team, those on a cluster, or all.";
        one_of_the_ways(description, |object| {
            let ticket = OneOfBuilder::new()
                .item(ObjectBuilder::new().schema_type(Type::Null))
                .item(Ref::from_schema_name(Ticket::name()))
                .description(Some(
                    "The ticket that it belongs to. Default: what looks like one in the reason.",
                ));
            object
                .property("reason", Ref::from_schema_name(ReasonText::name()))
                .required("reason")
                .property("ticket", ticket)
        })
    }
}

impl ToSchema for OfScope {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ways(schemas);
        schemas.push((ReasonText::name().into(), ReasonText::schema()));
        schemas.push((Ticket::name().into(), Ticket::schema()));
    }
}

fn one_of_the_ways(description: &str, and: impl Fn(ObjectBuilder) -> ObjectBuilder) -> RefOr<Schema> {
    let services = ArrayBuilder::new()
        .items(Ref::from_schema_name(ServiceName::name()))
        .min_items(Some(1))
        .description(Some("These services."));
    let all = ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([true]))
        .description(Some("Every service."));
    let ways: [(&str, RefOr<Schema>); 4] = [
        ("services", services.into()),
        ("team", Ref::from_schema_name(Team::name()).into()),
        ("cluster", Ref::from_schema_name(Cluster::name()).into()),
        ("all", all.into()),
    ];
    let objects = ways.into_iter().map(|(name, schema)| {
        let object = ObjectBuilder::new().property(name, schema).required(name);
        and(object).additional_properties(Some(AdditionalProperties::FreeForm(false)))
    });
    objects.fold(OneOfBuilder::new().description(Some(description)), OneOfBuilder::item).into()
}

fn ways(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((ServiceName::name().into(), ServiceName::schema()));
    schemas.push((Team::name().into(), Team::schema()));
    schemas.push((Cluster::name().into(), Cluster::schema()));
}
