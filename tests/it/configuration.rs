//! Configuration files: the shipped ones, and every way to get one wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::proxy::Service;
use crate::support::tls::Authority;
use switchback::config::{SchemaOf, diff, load, load_rights, schema, show};
use switchback::model::Address;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<PathBuf> {
    let folder = repository().join("tests/broken");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Copies a folder's files over another's.
fn lay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            lay(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn check(config: &Path, extra: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_switchback"))
        .arg("check")
        .arg("config")
        .args(extra)
        .current_dir(config.parent().unwrap())
        .output()
        .unwrap()
}

/// Each folder of `tests/broken` has a `config` that is laid over a good one, and what is then said of it in
/// `expected.txt`. `UPDATE_EXPECTED=1` writes that anew; read the difference before you keep it.
#[test]
fn every_broken_configuration_is_explained_with_its_place_and_the_mend() {
    let cases = cases();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        fs::create_dir_all(config.join("services")).unwrap();
        let good = "[listeners.http]\naddress = \"127.0.0.1:8080\"\n[state]\ndirectory = \"state\"\n";
        fs::write(config.join("switchback.toml"), good).unwrap();
        lay(&case.join("config"), &config);
        if case.join("without-switchback-toml").exists() {
            fs::remove_file(config.join("switchback.toml")).unwrap();
        }
        if case.join("without-services").exists() {
            fs::remove_dir(config.join("services")).unwrap();
        }
        let output = check(&config, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if said != wanted || output.status.code() != Some(1) {
            wrong.push(format!("{}:\n{said}\ninstead of\n{wanted}", case.display()));
        }
        let json = check(&config, &["--json"]);
        let faults: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
        let told = said.matches("error: ").count();
        assert_eq!(faults.len(), told, "{}: as many for programs as for people", case.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_shipped_rights_have_no_faults_with_and_without_their_examples() {
    let folder = tempfile::tempdir().unwrap();
    lay(&repository().join("config"), folder.path());
    Authority::new("login").write(&folder.path().join("ca.pem"));
    let text = fs::read_to_string(repository().join("config/rights.toml")).unwrap();
    // What is an example stands right behind a mark, and is the heading of a table, or a key and a value.
    let is_key = |key: &str| key.starts_with(|c: char| c.is_ascii_lowercase()) && !key.trim().contains(' ');
    let is_example =
        |line: &str| line.starts_with('[') || line.split_once('=').is_some_and(|(key, _)| is_key(key));
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(example) if is_example(example) => example,
        _ => line,
    });
    let examples = lines.collect::<Vec<_>>().join("\n").replace("tls/login-ca.pem", "ca.pem");
    assert!(examples.contains("\n[tokens.ci]\n") && examples.contains("\n[oidc]\n"));
    let validator = jsonschema::validator_for(&schema(SchemaOf::Rights)).unwrap();
    for text in [text, examples] {
        fs::write(folder.path().join("rights.toml"), &text).unwrap();
        let loaded = load_rights(&folder.path().join("rights.toml"));
        loaded.map_err(|faults| switchback::config::render(&faults, false)).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        assert!(validator.is_valid(&value), "{text}");
    }
}

/// A rights file may be ahead of the services' files, or mistyped: that is said, and no fault.
#[test]
fn rights_over_what_there_is_not_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    lay(&repository().join("config"), &config);
    let text = fs::read_to_string(config.join("switchback.toml")).unwrap();
    fs::write(config.join("switchback.toml"), text.replace("# rights = ", "rights = ")).unwrap();
    let rights = "[users.anna]\nrole = \"viewer\"\nteams = [\"playlist-squad\", \"playlist-sqad\"]\nservices = [\"serch\"]\n";
    fs::write(config.join("rights.toml"), rights).unwrap();
    let output = check(&config, &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("no faults in 4 files"));
    let said = String::from_utf8(output.stderr).unwrap();
    let notes = "note: config/rights.toml names service serch, and there is none\n\
                 note: config/rights.toml names team playlist-sqad, and no service is of it\n";
    assert_eq!(said, notes);
}

#[test]
fn the_shipped_configuration_has_no_faults() {
    let output = check(&repository().join("config"), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("no faults in 3 files: 2 services"), "{said}");
}

#[test]
fn what_is_shown_of_a_service_reads_back_to_the_same() {
    let shipped = load(&repository().join("config")).unwrap().config;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    fs::copy(repository().join("config/switchback.toml"), folder.path().join("switchback.toml")).unwrap();
    for (name, service) in &shipped.services {
        fs::write(folder.path().join(format!("services/{name}.toml")), show(service)).unwrap();
    }
    let again = load(folder.path()).map_err(|faults| switchback::config::render(&faults, false)).unwrap();
    assert_eq!(again.config.services, shipped.services);
}

#[test]
fn how_endpoints_are_spoken_to_over_tls_is_shown_so_that_it_reads_back() {
    let (mesh, pair) = (Authority::new("mesh"), Authority::new("ours").sign(&["switchback.test"]));
    let folder = tempfile::tempdir().unwrap();
    lay(&repository().join("config"), folder.path());
    fs::create_dir(folder.path().join("tls")).unwrap();
    mesh.write(&folder.path().join("tls/mesh.pem"));
    pair.write(&folder.path().join("tls"), "own");
    let service = Service::new("search")
        .helios(Address::parse("10.0.0.1:80").unwrap())
        .rest("[helios.tls]\nauthorities = \"tls/mesh.pem\"\nname = \"orders.internal\"\nidentities = [\"spiffe://a/b\"]\n\
               certificate = { chain = \"tls/own.pem\", key = \"tls/own.key\" }\n");
    let file = folder.path().join("services/search.toml");
    fs::write(&file, service.text()).unwrap();
    let read = || load(folder.path()).unwrap().config.services.into_values().last().unwrap();
    let first = read();
    assert!(first.sides.helios.tls.is_some());
    fs::write(&file, show(&first)).unwrap();
    assert_eq!(read(), first);
}

#[test]
fn what_is_changed_on_the_way_is_shown_so_that_it_reads_back() {
    let rules = "[headers.request]\nset = { x-a = 'with \"quotes\" and \\', x-b = \"\" }\nadd = { X-C = \"c\" }\n\
                 [headers.answer]\nremove = [\"server\"]\n";
    for (side, rest) in [
        ("", "[headers]\nrequest-id = \"X-Request-Id\"\n"),
        ("", rules),
        ("host = \"search.internal:8080\"", ""),
        ("host = \"[fd00::7]:8080\"", "[rewrite]\nstrip-prefix = \"/v1/\"\n[trace]\nstart = true\n"),
        ("", "[trace]\nstart = true\nsampled = true\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        lay(&repository().join("config"), folder.path());
        let service = Service::new("search")
            .helios(Address::parse("10.0.0.1:80").unwrap())
            .path("/v1/lists")
            .sides(side, "")
            .rest(rest);
        let file = folder.path().join("services/search.toml");
        fs::write(&file, service.text()).unwrap();
        let read = || load(folder.path()).unwrap().config.services.into_values().last().unwrap();
        let first = read();
        assert!(first.changes.is_some(), "{side} {rest}");
        fs::write(&file, show(&first)).unwrap();
        assert_eq!(read(), first, "{side} {rest}");
    }
}

#[test]
fn a_unix_socket_is_shown_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    lay(&repository().join("config"), folder.path());
    let file = folder.path().join("services/search.toml");
    fs::write(&file, Service::new("search").helios(Address::parse("unix:/run/search.sock").unwrap()).text())
        .unwrap();
    let read = || load(folder.path()).unwrap().config.services.into_values().last().unwrap();
    let first = read();
    let shown = show(&first);
    assert!(shown.contains("addresses = [\"unix:/run/search.sock\"]"), "{shown}");
    fs::write(&file, shown).unwrap();
    assert_eq!(read(), first);
}

#[test]
fn a_check_is_shown_with_all_its_defaults_so_that_it_reads_back() {
    let usual = "every = \"5s\"\ntimeout = \"1s\"\nrise = 2\nfall = 3\n";
    let http = |path: &str, host: &str| {
        format!(
            "kind = \"http\"\npath = \"{path}\"\nstatuses = [\"2xx\", \"3xx\"]\nhost = \"{host}\"\n{usual}"
        )
    };
    for (side, check, shown) in [
        ("", "path = \"/healthz?deep\"", http("/healthz?deep", "search.test")),
        ("", "kind = \"http\"", http("/", "search.test")),
        ("host = \"search.internal\"", "kind = \"http\"", http("/", "search.internal")),
        ("host = \"search.internal\"", "kind = \"http\"\nhost = \"[fd00::7]:80\"", http("/", "[fd00::7]:80")),
        ("", "kind = \"grpc\"", format!("kind = \"grpc\"\nservice = \"\"\n{usual}")),
        ("proxy-protocol = \"v2\"", "kind = \"tcp\"\nport = 81", format!("kind = \"tcp\"\nport = 81\n{usual}")),
        (
            "protocol = \"http/2\"",
            "kind = \"grpc\"\nservice = \"shop.Cart\"\nevery = \"5m\"\ntimeout = \"5m\"\nrise = 1\nfall = 100",
            "kind = \"grpc\"\nservice = \"shop.Cart\"\nevery = \"5m\"\ntimeout = \"5m\"\nrise = 1\nfall = 100\n".to_owned(),
        ),
        (
            "",
            "path = \"/\"\nstatuses = [\"2xx\", \"404\", \"500-599\", \"400-403\"]",
            format!(
                "kind = \"http\"\npath = \"/\"\nstatuses = [\"2xx\", \"400-404\", \"5xx\"]\nhost = \"search.test\"\n{usual}"
            ),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        lay(&repository().join("config"), folder.path());
        let file = folder.path().join("services/search.toml");
        let text = format!(
            "team = \"t\"\n[match]\nhosts = [\"*.search.test\", \"search.test\"]\n[helios]\n\
             source = {{ addresses = [\"10.0.0.1:80\"] }}\n{side}\n[helios.check]\n{check}\n"
        );
        fs::write(&file, text).unwrap();
        let read = || load(folder.path()).unwrap().config.services.into_values().last().unwrap();
        let first = read();
        assert!(first.sides.helios.check.is_some() && first.sides.kubernetes.check.is_none());
        let text = show(&first);
        assert!(text.contains(&format!("[helios.check]\n{shown}")), "{check}: {text}");
        fs::write(&file, text).unwrap();
        assert_eq!(read(), first, "{check}");
    }
}

/// A check that nobody can name an endpoint's host by asks for its address.
#[test]
fn a_check_of_a_service_without_a_single_host_asks_for_the_address() {
    let folder = tempfile::tempdir().unwrap();
    lay(&repository().join("config"), folder.path());
    let service = Service::new("search")
        .host("*.search.test")
        .helios(Address::parse("10.0.0.1:80").unwrap())
        .rest("[helios.check]\npath = \"/healthz\"\n");
    fs::write(folder.path().join("services/search.toml"), service.text()).unwrap();
    let service = load(folder.path()).unwrap().config.services.into_values().last().unwrap();
    assert_eq!(service.sides.helios.check.as_ref().unwrap().host, None);
    assert!(!show(&service).contains("host = \""));
}

/// A change of a check alone is a change of the service, and nothing asks for a restart.
#[test]
fn a_changed_check_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    lay(&repository().join("config"), folder.path());
    let with = |check: &str| {
        let service = Service::new("search").helios(Address::parse("10.0.0.1:80").unwrap()).rest(check);
        fs::write(folder.path().join("services/search.toml"), service.text()).unwrap();
        load(folder.path()).unwrap().config
    };
    let (none, some) = (with(""), with("[helios.check]\npath = \"/healthz\"\n"));
    let other = with("[helios.check]\npath = \"/healthz\"\nfall = 1\n");
    for (before, after) in [(&none, &some), (&some, &other), (&other, &none)] {
        let found = diff(before, after);
        assert_eq!((found.changed.len(), found.restart.len()), (1, 0));
    }
    assert!(diff(&other, &with("[helios.check]\npath = \"/healthz\"\nfall = 1\n")).is_empty());
}

#[test]
fn every_list_of_failures_is_shown_so_that_it_reads_back() {
    for (written, shown) in [
        (r#"statuses = ["4xx"]"#, r#"statuses = ["4xx"]"#),
        (r#"statuses = ["500-599", "400-499"]"#, r#"statuses = ["4xx", "5xx"]"#),
        (r#"statuses = ["503", "429", "502", "504"]"#, r#"statuses = ["429", "502-504"]"#),
        (r#"statuses = ["5xx", "499"]"#, r#"statuses = ["499-599"]"#),
        (r#"grpc = ["14", "INTERNAL", "UNAVAILABLE"]"#, r#"grpc = ["INTERNAL", "UNAVAILABLE"]"#),
    ] {
        let folder = tempfile::tempdir().unwrap();
        lay(&repository().join("config"), folder.path());
        let file = folder.path().join("services/search.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n[failures]\n{written}\n")).unwrap();
        let service = |config: switchback::config::Config| config.services.into_values().last().unwrap();
        let first = service(load(folder.path()).unwrap().config);
        let text = show(&first);
        assert!(text.contains(shown), "{written}: {text}");
        fs::write(&file, text).unwrap();
        assert_eq!(service(load(folder.path()).unwrap().config), first, "{written}");
    }
}

/// An editor that goes by the schema must like what is shipped, and dislike a mistake.
#[test]
fn the_schema_fits_the_shipped_files_and_finds_mistakes() {
    for (of, path) in [
        (SchemaOf::Process, "config/switchback.toml"),
        (SchemaOf::Service, "config/services/playlist.toml"),
        (SchemaOf::Service, "config/services/search.toml"),
        (SchemaOf::Rights, "config/rights.toml"),
    ] {
        let validator = jsonschema::validator_for(&schema(of)).unwrap();
        let text = fs::read_to_string(repository().join(path)).unwrap();
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
        let mut mistaken = value.clone();
        mistaken["nonsense"] = serde_json::json!(1);
        assert!(!validator.is_valid(&mistaken), "{path}: an unknown key");
    }
    let validator = jsonschema::validator_for(&schema(SchemaOf::Service)).unwrap();
    for (text, fits) in [
        ("[split]\nkubernetes = \"five\"", false),
        ("[helios.check]\nkind = \"grpc\"\nservice = \"\"\nport = 81", true),
        ("[helios.check]\nkind = \"udp\"", false),
        ("[kubernetes.check]\nintervall = \"5s\"", false),
    ] {
        let value: serde_json::Value = toml::from_str(text).unwrap();
        assert_eq!(validator.is_valid(&value), fits, "{text}");
    }
}

/// What is shown as a comment is copied by somebody.
#[test]
fn the_webhook_that_the_shipped_file_shows_fits_the_schema() {
    let text = fs::read_to_string(repository().join("config/switchback.toml")).unwrap();
    let shown = text.split_once("# [webhooks.oncall]").unwrap().1;
    let lines = shown.lines().filter_map(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join("\n");
    let value: serde_json::Value = toml::from_str(&format!("[webhooks.oncall]\n{lines}")).unwrap();
    let keys = value["webhooks"]["oncall"].as_object().unwrap().len();
    assert_eq!(keys, 8, "all but url-file, which takes the place of url");
    let validator = jsonschema::validator_for(&schema(SchemaOf::Process)).unwrap();
    assert!(validator.is_valid(&value), "{value}");
    for mistake in ["kind = \"teams\"", "events = [\"everything\"]", "routing_key = \"x\""] {
        let value: serde_json::Value = toml::from_str(&format!("[webhooks.oncall]\n{mistake}")).unwrap();
        assert!(!validator.is_valid(&value), "{mistake}");
    }
}

#[test]
fn a_folder_of_five_thousand_services_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    fs::copy(repository().join("config/switchback.toml"), folder.path().join("switchback.toml")).unwrap();
    for number in 0..5_000 {
        let text = format!(
            "team = \"t\"\n[match]\nhosts = [\"s{number}.test\"]\n[helios]\nsource = {{ addresses = [\"10.0.0.1:80\"] }}\n"
        );
        fs::write(folder.path().join(format!("services/s{number}.toml")), text).unwrap();
    }
    let loaded = load(folder.path()).map_err(|faults| faults.len()).unwrap();
    let by_host: BTreeMap<_, _> =
        loaded.config.services.iter().map(|(name, s)| (name, &s.matches.hosts)).collect();
    assert_eq!(by_host.len(), 5_000);
}
