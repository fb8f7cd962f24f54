//! From "is it ready?" to the ledger, which says the same in every shape.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy, Service};

use super::world::{World, entries, is_held, is_written, run};

const PLAN: &str = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\n";

/// A service that names its owner and its contact. They stand above its first section.
fn owned(folder: &Folder, service: &str) {
    let file = folder.file(service);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("owner = \"ann\"\ncontact = \"#a-oncall\"\nphase = \"beta\"\n{text}"))
        .unwrap();
}

async fn readiness(proxy: &Proxy, service: &str) -> Value {
    proxy.ask(Method::GET, &format!("/v1/services/{service}/readiness"), &Value::Null).await.json()
}

/// What is missing: names and details.
fn missing(readiness: &Value) -> BTreeMap<String, String> {
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let missing = readiness["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    missing.map(|check| (text(check, "what"), text(check, "details"))).collect()
}

async fn migrate(proxy: &Proxy, service: &str) -> (u16, Value) {
    let path = format!("/v1/services/{service}/migration");
    let answer = proxy.ask(Method::POST, &path, &json!({ "reason": "OPS-5 here we go" })).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_ready_is_refused_with_each_thing_that_is_missing() {
    let world = World::new().await;
    let bare = Service::new("bare").helios(world.helios.address).rest("[judge]\nmode = \"advise\"\n");
    let gone = Service::new("gone").weight(100.0).kubernetes(world.kubernetes.address);
    let proxy = Proxy::start(&[bare, gone, world.service("held", PLAN).weight(5.0)]);
    let told = readiness(&proxy, "bare").await;
    assert_eq!(told["ready"], false);
    let listed = missing(&told);
    let names: Vec<&str> = listed.keys().map(String::as_str).collect();
    assert_eq!(names, ["Kubernetes", "calibration", "capacity", "contact", "judge", "owner"], "{told:#}");
    for (what, details) in [
        ("Kubernetes", "the service has no [kubernetes] side"),
        ("calibration", "Helios was never compared with itself: switchback calibrate bare"),
        (
            "capacity",
            "it is not known what Helios can take: wait for an hour of traffic, or add capacity to [helios]",
        ),
        ("contact", "nobody is named: add contact = \"…\" to its file"),
        ("judge", "its mode is advise: nothing would be taken back"),
        ("owner", "nobody is named: add owner = \"…\" to its file"),
    ] {
        assert_eq!(listed[what], details);
    }
    assert_eq!(missing(&readiness(&proxy, "gone").await)["Helios"], "the service has no [helios] side");
    let revert = json!({ "services": ["held"], "reason": "INC-6" });
    assert_eq!(proxy.ask(Method::POST, "/v1/revert", &revert).await.status, 200);
    assert_eq!(missing(&readiness(&proxy, "held").await)["hold"], "it is held: release it first");

    let (status, refused) = migrate(&proxy, "bare").await;
    assert_eq!(status, 409, "{refused}");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("bare is not ready to be migrated: "), "{detail}");
    for (what, details) in &listed {
        assert!(detail.contains(&format!("{what}: {details}")), "{what} in {detail}");
    }
    let found = entries(&proxy, "bare", &["migrated"], 1).await;
    assert_eq!(json!([found[0]["outcome"], found[0]["ticket"]]), json!(["refused", "OPS-5"]));
    for arguments in [&["migrate", "bare", "--reason", "x"][..], &["migrate", "bare", "--check"]] {
        let (code, said) = run(&proxy, arguments).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("bare is not ready to be migrated:\n"), "{said}");
        let crosses = said.lines().filter(|line| line.starts_with("  ✗ ")).count();
        assert_eq!(crosses, listed.len(), "{said}");
        assert!(said.lines().any(|line| line.starts_with("  ✓ Helios")), "{said}");
    }
    assert!(proxy.weight("bare").await.abs() < 1e-9);
    assert_eq!(proxy.status("bare").await["ramp"], Value::Null);
}

/// Puts in place what a calibration of some hours would have come to.
async fn calibrated(proxy: Proxy) -> Proxy {
    let path = "/v1/services/a/calibration";
    let begun = proxy.ask(Method::POST, path, &json!({ "for": "1s", "reason": "before the ramp" })).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    eventually("it has ended", async || {
        let status = proxy.ask(Method::GET, path, &Value::Null).await.json();
        status["running"].is_null() && status["last"]["ending"] == "finished"
    })
    .await;
    let short = missing(&readiness(&proxy, "a").await);
    assert_eq!(short.len(), 1, "{short:?}");
    assert!(short["calibration"].contains(", and not even one false revert in "), "{short:?}");
    let folder = proxy.end().await;
    let file = folder.state().join("calibrations/a.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"too short to say\"", "\"within the promise\"")).unwrap();
    Proxy::start_in(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_ready_is_migrated_with_one_word_and_the_ledger_has_it() {
    let world = World::new().await;
    let folder = Folder::with(&[world.service("a", PLAN)]);
    owned(&folder, "a");
    let proxy = calibrated(Proxy::start_in(folder)).await;
    eventually("it is ready", async || readiness(&proxy, "a").await["ready"] == true).await;
    let (code, said) = run(&proxy, &["migrate", "a", "--check"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("a is ready to be migrated:\n") && !said.contains('✗'), "{said}");
    assert!(proxy.weight("a").await.abs() < 1e-9, "that was a question");

    let (code, said) = run(&proxy, &["migrate", "a", "--reason", "OPS-5 here we go"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a: weight 0.00 → 25.00"), "{said}");
    assert!(
        said.ends_with("its ramp is on its way: switchback ramp show a says what it waits for\n"),
        "{said}"
    );
    let status = proxy.status("a").await;
    assert_eq!(
        json!([status["why"], status["weight_percent"], status["ramp"]["step"]]),
        json!(["ramp", 25.0, 1])
    );
    let found = entries(&proxy, "a", &["migrated"], 1).await;
    assert_eq!(
        json!([
            found[0]["outcome"],
            found[0]["before_percent"],
            found[0]["after_percent"],
            found[0]["ticket"]
        ]),
        json!(["done", 0.0, 25.0, "OPS-5"])
    );
    let (status, twice) = migrate(&proxy, "a").await;
    assert_eq!(status, 409, "{twice}");
    assert!(twice["detail"].as_str().unwrap().contains("a ramp is under way, at 25.00"), "{twice}");

    let row = ledger(&proxy).await["services"][0].clone();
    assert!(row["migrated_unix_ms"].is_u64(), "{row:#}");
    assert_eq!(json!([row["owner"], row["phase"], row["stage"]]), json!(["ann", "beta", "dual run"]));
    assert!(row["next_gate"].as_str().unwrap().starts_with("the judge to be 95% sure"), "{row:#}");
    is_written(&proxy).await;
    let proxy = Proxy::start_in(proxy.end().await);
    assert_eq!(ledger(&proxy).await["services"][0]["migrated_unix_ms"], row["migrated_unix_ms"]);
}

async fn ledger(proxy: &Proxy) -> Value {
    proxy.ask(Method::GET, "/v1/migration", &Value::Null).await.json()
}

/// Lines of CSV as tables of their head's names. No cell of this test has a comma in quotation marks.
fn rows(csv: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = csv.trim_end().lines().map(|line| line.trim_end().split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    lines.map(|cells| head.iter().copied().zip(cells).collect()).collect()
}

/// Services of two teams and of all stages: held by the judge, ramping, at full weight, on one side only.
async fn fleet(world: &World) -> Proxy {
    let folder = Folder::with(&[
        world.service("falls", PLAN).team("red").weight(50.0),
        world.service("ramps", PLAN).team("red"),
        world.service("full", PLAN).team("blue").weight(100.0),
        Service::new("old").team("blue").helios(world.helios.address),
        Service::new("new").team("blue").weight(100.0).kubernetes(world.kubernetes.address),
    ]);
    owned(&folder, "ramps");
    let proxy = Proxy::start_in(folder);
    let start = json!({ "reason": "up" });
    assert_eq!(proxy.ask(Method::POST, "/v1/services/ramps/ramp", &start).await.status, 200);
    let load = Load::start(proxy.address, "falls.test", 4, 200);
    eventually("Kubernetes is known", async || world.kubernetes.hits() > 100).await;
    world.answers(500);
    is_held(&proxy, "falls").await;
    load.end().await;
    is_written(&proxy).await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_says_the_same_as_json_csv_a_table_and_metrics() {
    let world = World::new().await;
    let proxy = fleet(&world).await;
    let json = ledger(&proxy).await;
    let services = json["services"].as_array().unwrap();
    let brief: Vec<Value> = services
        .iter()
        .map(|row| {
            json!([row["service"], row["stage"], row["why"], row["weight_percent"], row["reverts_by_judge"]])
        })
        .collect();
    let wanted = [
        json!(["falls", "dual run", "held", 0.0, 1]),
        json!(["full", "dual run", "file", 100.0, 0]),
        json!(["new", "kubernetes only", "file", 100.0, 0]),
        json!(["old", "helios only", "file", 0.0, 0]),
        json!(["ramps", "dual run", "ramp", 25.0, 0]),
    ];
    assert_eq!(brief, wanted, "{json:#}");
    assert_eq!(services[0]["next_gate"], "a person to release it");

    let csv = proxy.ask(Method::GET, "/v1/migration?format=csv", &Value::Null).await;
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.header("content-type"));
    let csv_rows = rows(csv.text());
    assert_eq!(csv_rows.len(), services.len());
    let (_, table) = run(&proxy, &["migration"]).await;
    for (row, cells) in services.iter().zip(&csv_rows) {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        for key in ["service", "team", "owner", "phase", "stage", "why", "verdict", "next_gate"] {
            assert_eq!(cells[key], text(key), "{row:#}");
        }
        for key in ["reverts_by_judge", "reverts_by_others", "false_reverts"] {
            assert_eq!(cells[key], row[key].to_string(), "{row:#}");
        }
        let weight = format!("{:.2}", row["weight_percent"].as_f64().unwrap());
        assert_eq!(cells["weight_percent"], weight);
        let name = text("service");
        let line = table.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        for cell in [text("team"), text("phase"), text("stage"), &weight, text("next_gate")] {
            assert!(line.contains(cell), "{cell} in {line}");
        }
        let label = format!("service=\"{name}\"");
        let stage = format!("stage=\"{}\"", text("stage"));
        proxy.counted("switchback_migration_stage{", &[&label, &stage], 1.0).await;
        let reverts = row["reverts_by_judge"].as_f64().unwrap();
        proxy.counted("switchback_migration_reverts", &[&label, "by=\"judge\""], reverts).await;
        let highest = row["highest_percent"].as_f64().unwrap();
        proxy.counted("switchback_migration_highest_weight_percent", &[&label], highest).await;
    }
    sums_agree(&proxy, &json, &table).await;
}

/// Sums by team and phase, and of all, are those of their rows, in every shape.
async fn sums_agree(proxy: &Proxy, json: &Value, table: &str) {
    let services = json["services"].as_array().unwrap();
    let sums = |key: &str| json[key].as_array().unwrap().clone();
    for (key, kind) in [("team", "teams"), ("phase", "phases")] {
        for sum in sums(kind) {
            let rows: Vec<&Value> = services.iter().filter(|row| row[key] == sum["name"]).collect();
            let count = |what: &str, is: Value| json!(rows.iter().filter(|row| row[what] == is).count());
            assert_eq!(sum["services"], json!(rows.len()), "{sum:#}");
            assert_eq!(sum["held"], count("why", json!("held")), "{sum:#}");
            assert_eq!(sum["ramping"], count("why", json!("ramp")), "{sum:#}");
            assert_eq!(sum["dual_run"], count("stage", json!("dual run")), "{sum:#}");
            let weights: f64 = rows.iter().map(|row| row["weight_percent"].as_f64().unwrap()).sum();
            let mean = sum["mean_weight_percent"].as_f64().unwrap();
            assert!((mean - weights / rows.len() as f64).abs() < 1e-9, "{sum:#}");
            let name = sum["name"].as_str().unwrap();
            let line = table.lines().rfind(|line| line.starts_with(&format!("{name} "))).unwrap();
            assert!(line.contains(&format!("{mean:.2}")), "{line}");
        }
    }
    let all = &json["all"];
    assert_eq!(
        json!([all["services"], all["helios_only"], all["dual_run"], all["kubernetes_only"], all["held"]]),
        json!([5, 1, 3, 1, 1])
    );
    assert_eq!(json!([all["ramping"], all["at_full_weight"], all["reverts_by_judge"]]), json!([1, 2, 1]));
    let counted = |labels: &'static [&str]| proxy.counted("switchback_migration_services", labels, 1.0);
    counted(&["team=\"blue\"", "stage=\"helios only\""]).await;
    counted(&["team=\"blue\"", "stage=\"kubernetes only\""]).await;
    counted(&["team=\"red\"", "phase=\"beta\"", "stage=\"dual run\""]).await;
    let (_, red) = run(proxy, &["migration", "--team", "red", "--json"]).await;
    let red: Value = serde_json::from_str(&red).unwrap();
    assert_eq!((red["services"].as_array().unwrap().len(), &red["teams"][0]["services"]), (2, &json!(2)));
    let (_, csv) = run(proxy, &["migration", "--format", "csv"]).await;
    assert!(csv.starts_with("service,team,owner,phase,stage,") && csv.lines().count() == 6, "{csv}");
}
