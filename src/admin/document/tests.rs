use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::text;

fn document() -> Value {
    serde_json::from_str(text()).unwrap()
}

/// Each call, as `GET /v1/services/{name}`, and what is said of it.
fn calls(document: &Value) -> Vec<(String, &Map<String, Value>)> {
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            calls.push((format!("{} {path}", method.to_uppercase()), operation.as_object().unwrap()));
        }
    }
    calls
}

/// What stands there, or what it refers to.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => {
            document.pointer(place.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{place}"))
        }
        None => value,
    }
}

/// Every value in it, with where it stands.
fn values<'a>(place: String, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| values(format!("{place}/{name}"), member, found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| values(format!("{place}/{at}"), item, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.push((place, value));
}

/// What holds a value against a schema of the document.
fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::draft202012::new(&whole).unwrap()
}

#[test]
fn every_call_says_what_it_is_and_how_it_refuses() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (call, operation) in calls(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphabetic()), "{call}: {id}");
        assert!(ids.insert(id), "{call}: {id} is another's, too");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|text| !text.is_empty()), "{call}: {text}");
        }
        let [tag] = operation["tags"].as_array().unwrap().as_slice() else { panic!("{call}: one tag") };
        used.insert(tag.as_str().unwrap());
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{call}");
        let refusals: Vec<_> = answers.iter().filter(|(status, _)| !status.starts_with('2')).collect();
        assert!(!refusals.is_empty(), "{call}");
        for (status, answer) in refusals {
            let content = &resolve(&document, answer)["content"];
            let problem = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            assert_eq!(*content, problem, "{call} {status}");
        }
    }
    assert_eq!(used, tags, "tags that are declared, and those that are used");
}

#[test]
fn nobody_is_let_by_the_list_of_routes() {
    let source = include_str!("../routes.rs");
    for way in [".route(", ".route_service(", ".nest(", ".nest_service(", ".fallback_service("] {
        assert!(!source.contains(way), "{way} leads to what the document does not have");
    }
}

#[test]
fn the_guide_has_every_call_and_no_other() {
    let document = document();
    let described: BTreeSet<String> = calls(&document)
        .into_iter()
        .map(|(call, _)| call.replace("{name}", "NAME").replace("{reverted_unix_ms}", "UNIX_MS"))
        .collect();
    let rows = include_str!("../guide.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<String> = rows.map(|row| row.split(['`', '?']).next().unwrap().to_owned()).collect();
    assert_eq!(told, described);
}

#[test]
fn whatever_is_referred_to_is_there_and_is_a_schema() {
    let document = document();
    let mut found = Vec::new();
    values(String::new(), &document, &mut found);
    let mut referred = BTreeSet::new();
    for (place, value) in &found {
        if place.ends_with("/$ref") {
            let to = value.as_str().unwrap();
            assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{place}: {to}");
            referred.insert(to);
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        // What is followed is no one value: the description of the call names it.
        let place = format!("#/components/schemas/{name}");
        assert!(name == "Event" || referred.contains(place.as_str()), "{name} is used nowhere");
        assert!(schema["description"].is_string(), "{name} has no description");
    }
}

#[test]
fn what_is_described_has_a_description_and_examples_are_what_they_are_examples_of() {
    let document = document();
    let mut found = Vec::new();
    values(String::new(), &document, &mut found);
    let mut examples = 0;
    for (place, value) in &found {
        let Some(schema) = value.get("schema") else {
            if let Some(list) = value.get("examples").and_then(Value::as_array) {
                for example in list {
                    let error =
                        validator(&document, value).validate(example).err().map(|error| error.to_string());
                    assert_eq!(error, None, "{place}: {example}");
                    examples += 1;
                }
            }
            continue;
        };
        let named = value["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in value.get("example").into_iter().chain(named) {
            let error = validator(&document, schema).validate(example).err().map(|error| error.to_string());
            assert_eq!(error, None, "{place}: {example}");
            examples += 1;
        }
    }
    assert!(examples > 20, "{examples}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let members = schema["properties"].as_object().into_iter().flatten();
        for (member, schema) in members {
            // What refers to another schema without a word of its own is described there, and so is what may be absent.
            let is_described =
                |schema: &Value| schema.get("description").is_some() || schema.get("$ref").is_some();
            let mut ways = schema["oneOf"].as_array().into_iter().flatten();
            assert!(is_described(schema) || ways.any(is_described), "{name}.{member}");
        }
    }
}

/// Whoever sends what the document forbids is refused: it says so of every object.
#[test]
fn what_is_sent_has_no_unknown_members() {
    let document = document();
    for (call, operation) in calls(&document) {
        let Some(body) = operation.get("requestBody") else { continue };
        let mut waiting = vec![&body["content"]["application/json"]["schema"]];
        while let Some(schema) = waiting.pop() {
            let schema = resolve(&document, schema);
            for alternatives in ["oneOf", "anyOf", "allOf"] {
                waiting.extend(schema[alternatives].as_array().into_iter().flatten());
            }
            if let Some(members) = schema["properties"].as_object() {
                assert_eq!(schema["additionalProperties"], false, "{call}: {schema}");
                waiting.extend(members.values());
            }
        }
    }
}
