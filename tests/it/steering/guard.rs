//! Several services that are taken back at once have likelier one cause than one each.

use http::Method;
use serde_json::{Value, json};

use crate::support::endpoint::{Endpoint, answer};
use crate::support::eventually;
use crate::support::kubernetes::{Cluster, ready};
use crate::support::load::Load;
use crate::support::proxy::{Folder, Proxy, Service};

use super::world::{JUDGE, ROOM, Receiver, World, is_held, kinds, ramp_starts, run};

/// Five services on two clusters, of which the endpoints of two can be made to fail.
struct Fleet {
    proxy: Proxy,
    world: World,
    receiver: Receiver,
    _good: Endpoint,
    _clusters: [Cluster; 2],
}

const PLAN: &str = "[ramp]\nsteps = [25, 50]\nhold = \"1h\"\nrequests = 0\ncertainty = 0\n";

impl Fleet {
    /// `one` and `two` fail when Kubernetes does; `same` is on their cluster, `idle` too, with nothing on it; `ramp` is
    /// on another.
    async fn start(guard: &str) -> Self {
        let (world, receiver) = (World::new().await, Receiver::start().await);
        let good = Endpoint::start(|_| async { answer(200, "good") }).await;
        let clusters = [Cluster::start().await, Cluster::start().await];
        let port = |name: &str, endpoint: &Endpoint| json!({ "name": name, "port": endpoint.address.port(), "protocol": "TCP" });
        for cluster in &clusters {
            let ports = json!([port("good", &good), port("bad", &world.kubernetes)]);
            cluster.put_raw("a-1", "IPv4", &ports, &[ready("127.0.0.1", "p1")]);
        }
        let service = |name: &str, port: &str, cluster: &str, weight: f64| {
            let source = format!(
                "{{ namespace = \"shop\", service = \"a\", port = \"{port}\", cluster = \"{cluster}\" }}"
            );
            let service = Service::new(name).weight(weight).helios(world.helios.address);
            service.kubernetes_source(&source).sides(ROOM, "").rest(&format!("{JUDGE}{PLAN}"))
        };
        let folder = Folder::with(&[
            service("one", "bad", "gew1", 50.0),
            service("two", "bad", "gew1", 50.0),
            service("same", "good", "gew1", 50.0),
            service("idle", "good", "gew1", 0.0),
            service("ramp", "good", "lon3", 0.0),
        ]);
        for (cluster, name) in clusters.iter().zip(["gew1", "lon3"]) {
            folder.add_to_process(&cluster.section_of(name, ""));
        }
        folder.add_to_process(&format!("[fleet-guard]\n{guard}\n{}", receiver.section()));
        let proxy = Proxy::start_in(folder);
        for name in ["one", "two", "same", "ramp"] {
            eventually(&format!("{name} is found"), async || {
                proxy.status(name).await["kubernetes"]["endpoints"] == 1
            })
            .await;
        }
        ramp_starts(&proxy, "ramp").await;
        Self { proxy, world, receiver, _good: good, _clusters: clusters }
    }

    /// Both fail until the judge has taken them back.
    async fn fall(&self) {
        let loads = ["one.test", "two.test"].map(|host| Load::start(self.proxy.address, host, 4, 200));
        eventually("Kubernetes is known", async || self.world.kubernetes.hits() > 200).await;
        self.world.answers(500);
        for name in ["one", "two"] {
            is_held(&self.proxy, name).await;
        }
        for load in loads {
            load.end().await;
        }
    }

    async fn process(&self) -> Value {
        self.proxy.ask(Method::GET, "/v1/process", &Value::Null).await.json()
    }

    /// What the history has of the guard.
    async fn alarms(&self) -> Vec<Value> {
        let all = self.proxy.ask(Method::GET, "/v1/history?limit=1000", &Value::Null).await.json();
        let mut all = all.as_array().unwrap().clone();
        all.retain(|entry| entry["deed"] == "fleet-guard");
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_fall_at_once_are_one_alarm_all_ramps_are_paused_and_a_person_resumes_them() {
    let fleet = Fleet::start("services = 2\nwithin = \"1h\"").await;
    let proxy = &fleet.proxy;
    fleet.fall().await;
    eventually("the guard tells", async || !fleet.receiver.of("fleet-guard").is_empty()).await;
    let told = fleet.receiver.told();
    let told: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    // Programs are told of each; who is woken hears of the second as part of the alarm.
    assert_eq!(told, ["reverted", "reverted", "fleet-guard"]);
    let text = fleet.receiver.of("fleet-guard").remove(0);
    assert!(text.starts_with("2 services were taken back at once, one, two: look at cluster gew1"), "{text}");
    assert!(text.ends_with("; 1 ramps are paused"), "{text}");
    eventually("the history has it", async || fleet.alarms().await.len() == 1).await;

    let status = proxy.status("ramp").await;
    assert_eq!(kinds(&status), ["paused", "time"], "{status:#}");
    assert_eq!((&status["weight_percent"], &status["ramp"]["going"]), (&json!(25.0), &json!("paused")));
    assert_eq!(proxy.status("same").await["why"], "file", "it is not asked for that it be taken back");
    let process = fleet.process().await;
    assert_eq!(process["paused_ramps"], 1);
    assert!(process["fleet_guard"].as_str().unwrap().contains("cluster gew1"), "{process}");
    let (_, shown) = run(proxy, &["status"]).await;
    assert!(shown.starts_with("! 2 services were taken back at once"), "{shown}");

    // A new ramp is somebody's own decision, and what was paused goes on where it was.
    let (code, said) = run(proxy, &["ramp", "resume", "--all", "--reason", "INC-9 gew1 is back"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "ramp: ramp resumed at 25.00\n"));
    assert_eq!(kinds(&proxy.status("ramp").await), ["time"]);
    assert_eq!(fleet.process().await["paused_ramps"], 0);
    let (_, said) = run(proxy, &["ramp", "resume", "--all", "--reason", "once more"]).await;
    assert_eq!(said, "there is no ramp to be resumed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_asked_for_the_rest_of_their_cluster_is_taken_back_with_them() {
    let fleet = Fleet::start("services = 2\nwithin = \"1h\"\nrevert-cluster = true").await;
    let proxy = &fleet.proxy;
    fleet.fall().await;
    is_held(proxy, "same").await;
    let status = proxy.status("same").await;
    assert_eq!((&status["by"], &status["weight_percent"]), (&json!("guard"), &json!(0.0)), "{status:#}");
    assert_eq!(proxy.status("idle").await["why"], "file", "it gets nothing from Kubernetes");
    assert_eq!(proxy.status("ramp").await["why"], "ramp", "it is on another cluster");
    eventually("the guard tells", async || !fleet.receiver.of("fleet-guard").is_empty()).await;
    let told = fleet.receiver.told();
    let told: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(told, ["reverted", "reverted", "reverted", "fleet-guard"]);
    let text = fleet.receiver.of("fleet-guard").remove(0);
    assert!(text.contains("; the rest of it, 1 services, was taken back too; 1 ramps are paused"), "{text}");
    let (_, said) = run(proxy, &["explain", "same"]).await;
    assert!(said.contains("same was reverted by the fleet guard"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_than_that_are_told_of_one_by_one_and_no_ramp_is_paused() {
    let fleet = Fleet::start("services = 3\nwithin = \"1h\"").await;
    fleet.fall().await;
    eventually("both are told", async || fleet.receiver.of("reverted").len() == 2).await;
    assert_eq!(fleet.alarms().await, Vec::<Value>::new());
    assert_eq!(fleet.proxy.status("ramp").await["ramp"]["going"], "on");
    assert_eq!(fleet.process().await["fleet_guard"], Value::Null);
}
