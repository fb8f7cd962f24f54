//! What people type who have tokens and certificates.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use switchback::config::load_rights;

use crate::support::process::Process;

use super::world::{Guest, OWN, Wire, World, entry, known, token};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs a command against the interface's address.
async fn run(world: &World, scheme: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let own = |text: &str| text.to_owned();
    let mut all = vec![own("--admin"), format!("{scheme}localhost:{}", world.proxy.admin.port())];
    all.extend(arguments.iter().map(|argument| own(argument)));
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| (own(name), own(value))).collect();
    tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Process::run_with(&all, &variables)
    })
    .await
    .unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs `token` on a rights file.
fn token_command(rights: &Path, arguments: &[&str]) -> Output {
    let rights = rights.display().to_string();
    Process::run(&[&["token"], arguments, &["--rights", &rights]].concat())
}

#[test]
fn a_token_is_made_listed_and_revoked_and_everything_else_in_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rights.toml");
    let token = |arguments: &[&str]| token_command(&path, arguments);
    let made = token(&["new", "ci", "--role", "operator", "--team", "own-team", "--expires", "90d"]);
    let (secret, says) = (out(&made), err(&made));
    let secret = secret.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("sbt_") && secret.len() == 47 && !secret.contains('\n'), "{secret}");
    for part in [
        "ci is operator over team own-team, until the end of ",
        "this is the only time",
        "was made, and only you",
    ] {
        assert!(says.contains(part), "{part}: {says}");
    }
    assert_eq!(mode(&path), 0o600);
    let loaded = load_rights(&path).unwrap().rights;
    assert!(loaded.tokens["ci"].hash.is_of(secret));
    assert!(!std::fs::read_to_string(&path).unwrap().contains(secret));

    // What others have written in it is theirs, and so is who may read it.
    let by_hand = "# Who may what.\n[people.\"anna@test\"] # she\nrole   = 'viewer'\n[oidc]\nissuer='x'\naudience='y'\nkeys='jwks.json'";
    let keys = crate::support::issuer::published(crate::support::issuer::Key::all());
    std::fs::write(folder.path().join("jwks.json"), keys).unwrap();
    let before = format!("{by_hand}\n\n{}", std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, &before).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let json = token(&[
        "new",
        "bert@test",
        "--role",
        "viewer",
        "--service",
        "a",
        "--expires",
        "2999-12-31",
        "--json",
    ]);
    let json: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(
        (&json["name"], &json["role"], &json["expires"]),
        (&json!("bert@test"), &json!("viewer"), &json!("2999-12-31"))
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&before) && text.contains("\n\n[tokens.\"bert@test\"]\n"), "{text}");
    assert_eq!(mode(&path), 0o640);

    let listed = out(&token(&["list"]));
    assert!(
        listed.contains("bert@test  viewer    service a")
            && listed.contains("ci         operator  team own-team"),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&out(&token(&["list", "--json"]))).unwrap();
    assert_eq!((&listed[0]["services"], &listed[0]["expired"]), (&json!(["a"]), &json!(false)));

    assert!(out(&token(&["revoke", "bert@test"])).starts_with("bert@test is revoked"));
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim_end(), before.trim_end());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left lying about");
}

#[test]
fn what_cannot_be_done_with_tokens_is_said_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rights.toml");
    let token = |arguments: &[&str]| token_command(&path, arguments);
    assert!(err(&token(&["list"])).contains("there is no "));
    assert!(token(&["new", "ci", "--role", "viewer"]).status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    for (arguments, code, says) in [
        (&["new", "ci", "--role", "viewer"][..], 1, "there is a token ci already"),
        (&["new", "x\ny", "--role", "viewer"], 1, "a name has 1 to 128 characters"),
        (&["new", "x", "--role", "viewer", "--expires", "2020-01-01"], 1, "have expired already"),
        (&["new", "x", "--role", "viewer", "--service", "No/Service"], 1, "not a service's name"),
        (&["new", "x", "--role", "boss"], 2, "possible values"),
        (&["new", "x", "--role", "viewer", "--expires", "soon"], 2, "such as 90d"),
        (&["revoke", "nobody"], 1, "there is no token nobody"),
    ] {
        let output = token(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(says), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "what is refused changes nothing");
    std::fs::write(&path, "[tokens.x]\nrole = \"viewer\"\n").unwrap();
    let output = token(&["new", "y", "--role", "viewer"]);
    assert!(err(&output).contains("a token without its hash") && err(&output).contains("was not changed"));
    let output = Process::run(&["token", "list"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let output = Process::run(&["token", "list", "--config", "/nowhere"]);
    assert!(output.status.code() == Some(1) && err(&output).contains("cannot be read"), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_made_beside_a_running_switchback_opens_it() {
    let world = World::start(Wire::Plain, "").await;
    let config = world.proxy.folder.path().display().to_string();
    let arguments = ["token", "new", "ci", "--role", "viewer", "--config", &config].map(str::to_owned);
    let made = tokio::task::spawn_blocking(move || {
        Process::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{}", err(&made));
    world.entries("rights-changed", 2).await;
    let got = world.get(&Guest::bearing(out(&made).trim()), "/v1/whoami").await;
    assert_eq!(known(&got), json!(["ci", "token"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_from_a_variable_or_a_file_and_a_stranger_is_told_how() {
    let world = World::start(Wire::Plain, &entry("ci", "role = \"viewer\"\nteams = [\"own-team\"]", 1)).await;
    let shown = [("SWITCHBACK_TOKEN", &*token(1))];
    let said = out(&run(&world, "", &["whoami"], &shown).await);
    assert_eq!(said, "ci, by a token\n  viewer over team own-team\n");
    let file = world.path("token");
    std::fs::write(&file, format!("{}\n", token(1))).unwrap();
    let file = file.display().to_string();
    let wrong = [("SWITCHBACK_TOKEN", "sbt_wrong")];
    let output = run(&world, "http://", &["--token-file", &file, "whoami", "--json"], &wrong).await;
    let json: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(json["name"], "ci", "a file goes before the variable");

    for (variables, says) in [(&[][..], "nothing says who asks"), (&wrong[..], "not known here")] {
        let output = run(&world, "", &["status"], variables).await;
        assert_eq!(output.status.code(), Some(1));
        let text = err(&output);
        assert!(text.contains(says) && text.contains("SWITCHBACK_TOKEN or --token-file"), "{text}");
        assert_eq!(out(&output), "");
    }
    let output = run(&world, "", &["revert", OWN, "--reason", "x"], &shown).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("that takes the role operator over own-service of team own-team"),
        "{}",
        err(&output)
    );
    let output = run(&world, "", &["--token-file", "/nowhere", "status"], &[]).await;
    assert!(output.status.code() == Some(1) && err(&output).contains("no token can be read from /nowhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_and_curl_speak_tls_and_show_certificates() {
    let rights = format!(
        "{}[certificates.deployer]\nidentity = \"spiffe://test/deployer\"\nrole = \"operator\"\n",
        entry("ci", "role = \"viewer\"", 1)
    );
    let world = World::start(Wire::Tls, &rights).await;
    world.clients.sign(&["spiffe://test/deployer"]).write(world.proxy.folder.path(), "deployer");
    let path = |name: &str| world.path(name).display().to_string();
    let (site, chain, key) = (path("site.pem"), path("deployer.pem"), path("deployer.key"));
    let trusting = ["--authorities", &site];
    let with =
        |more: &[&str]| -> Vec<String> { trusting.iter().chain(more).map(ToString::to_string).collect() };
    let https = async |arguments: &[String], variables: &[(&str, &str)]| {
        run(&world, "https://", &arguments.iter().map(String::as_str).collect::<Vec<_>>(), variables).await
    };
    let output = https(&with(&["whoami"]), &[("SWITCHBACK_TOKEN", &token(1))]).await;
    assert_eq!(out(&output), "ci, by a token\n  viewer over everything\n", "{}", err(&output));
    let pair = ["--certificate", &chain, "--key", &key, "whoami"];
    let output = https(&with(&pair), &[]).await;
    assert_eq!(out(&output), "deployer, by a certificate\n  operator over everything\n", "{}", err(&output));

    let output = run(&world, "https://", &["whoami"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("--authorities says who must have signed"), "{}", err(&output));
    let output = https(&with(&["--certificate", &chain, "whoami"]), &[]).await;
    assert_eq!(output.status.code(), Some(2), "half a pair: {}", err(&output));
    let output = run(&world, "https://", &["--authorities", "/nowhere", "whoami"], &[]).await;
    assert!(err(&output).contains("/nowhere cannot be read"), "{}", err(&output));

    let url = format!("https://localhost:{}/v1/whoami", world.proxy.admin.port());
    let curl = Command::new("curl")
        .args(["-s", "--cacert", &site, "--cert", &chain, "--key", &key, &url])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&curl.stdout).unwrap();
    assert_eq!((&answer["name"], &answer["via"]), (&json!("deployer"), &json!("certificate")));
}
