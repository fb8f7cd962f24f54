//! What somebody sees who sits at a terminal.

use crate::support::endpoint::Endpoint;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Service};
use crate::support::terminal::Terminal;

const ESCAPE: &str = "\u{1b}[";
const HELD: &str = "\u{1b}[31mheld ";

/// Of the environment.
type Variables = &'static [(&'static str, &'static str)];

struct World {
    proxy: Proxy,
    load: Load,
    _sides: [Endpoint; 2],
}

impl World {
    /// A service whose revert gives Helios five times its present load.
    async fn start() -> Self {
        let sides = [Endpoint::named("helios").await, Endpoint::named("kubernetes").await];
        let service = Service::new("a").weight(80.0).helios(sides[0].address).kubernetes(sides[1].address);
        let proxy = Proxy::start(&[service]);
        let load = Load::start(proxy.address, "a.test", 4, 200);
        eventually("both sides are asked", async || {
            let status = proxy.status("a").await;
            ["helios", "kubernetes"].iter().all(|side| status[side]["per_second"].as_f64().unwrap() > 1.0)
        })
        .await;
        Self { proxy, load, _sides: sides }
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let admin = self.proxy.admin.to_string();
        ["--admin", &admin].iter().chain(arguments).map(ToString::to_string).collect()
    }

    /// Runs a command at a terminal of this width, in which `answer` is typed when it asks.
    async fn at_terminal(
        &self,
        width: u16,
        arguments: &[&str],
        variables: Variables,
        answer: Option<&'static str>,
    ) -> (Option<i32>, String) {
        let arguments = self.arguments(arguments);
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut terminal = Terminal::start(&arguments, width, variables);
            if let Some(answer) = answer {
                terminal.until("go on? [y/N] ");
                terminal.types(answer);
            }
            terminal.end()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// What a command writes that has no terminal.
    async fn piped(&self, arguments: &[&str], variables: Variables) -> String {
        let arguments = self.arguments(arguments);
        let run =
            move || Process::run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), variables);
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn revert(&self, more: &[&str], answer: Option<&'static str>) -> (Option<i32>, String) {
        self.at_terminal(120, &[&["revert", "a", "--reason", "x"], more].concat(), &[], answer).await
    }

    async fn release(&self) {
        // Without a terminal nobody is asked.
        self.piped(&["release", "a", "--to", "80", "--reason", "x"], &[]).await;
        eventually("both sides are asked", async || {
            self.proxy.status("a").await["helios"]["per_second"].as_f64().unwrap() < 100.0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_much_is_asked_before_and_only_then_it_moves() {
    let world = World::start().await;
    for answer in ["n\n", "\n", "maybe\n", "\u{4}"] {
        let (code, shown) = world.revert(&[], Some(answer)).await;
        assert_eq!(code, Some(1), "{answer:?}: {shown}");
        assert!(
            shown.contains("a: Helios will get ") && shown.contains(" times its present load"),
            "{shown}"
        );
        assert!(shown.contains("nothing was changed"), "{shown}");
        assert!((world.proxy.weight("a").await - 80.0).abs() < 1e-9, "{answer:?}");
    }
    let (code, shown) = world.revert(&[], Some("y\n")).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("a: weight 80.00 → 0.00, held; Helios will get "), "{shown}");
    assert!(world.proxy.weight("a").await < 1e-9);

    world.release().await;
    for sure in [&["--yes"][..], &["--json"]] {
        let (code, shown) = world.revert(sure, None).await;
        assert_eq!(code, Some(0), "{sure:?}: {shown}");
        assert!(!shown.contains("go on?"), "{sure:?}: {shown}");
        assert!(world.proxy.weight("a").await < 1e-9);
        world.release().await;
    }
    world.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_wider_than_the_terminal_and_what_is_piped_is_whole() {
    let world = World::start().await;
    world.piped(&["weight", "a", "5", "--reason", "x", "--for", "2h"], &[]).await;

    for width in [100, 60, 40, 20] {
        let (code, shown) = world.at_terminal(width, &["status"], &[], None).await;
        assert_eq!(code, Some(0), "{shown}");
        // What is wrong is said above the table, in full.
        for line in shown.lines().filter(|line| !line.starts_with("! ")) {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line:?}");
        }
        assert!(shown.contains("\na  ") && shown.contains("5.00"), "{width}: {shown}");
    }
    let (_, narrow) = world.at_terminal(60, &["status"], &[], None).await;
    assert!(narrow.contains('…'), "{narrow}");
    let (_, said) = world.at_terminal(60, &["status"], &[("COLUMNS", "300")], None).await;
    assert!(!said.contains('…') && said.contains("override: "), "{said}");

    let piped = world.piped(&["status"], &[("COLUMNS", "20")]).await;
    assert!(!piped.contains('…') && piped.lines().any(|line| line.len() > 60), "{piped}");
    world.load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_colour_on_a_terminal_only_and_not_where_nobody_wants_it() {
    let world = World::start().await;
    assert_eq!(world.revert(&["--yes"], None).await.0, Some(0));
    let (_, shown) = world.at_terminal(120, &["status"], &[], None).await;
    assert!(shown.contains(HELD), "{shown:?}");
    let (_, empty) = world.at_terminal(120, &["status"], &[("NO_COLOR", "")], None).await;
    assert!(empty.contains(HELD), "an empty NO_COLOR says nothing: {empty:?}");
    let without: [(&[&str], Variables); 3] = [
        (&["status"], &[("NO_COLOR", "1")]),
        (&["status"], &[("TERM", "dumb")]),
        (&["status", "--color", "never"], &[]),
    ];
    for (arguments, variables) in without {
        let (_, shown) = world.at_terminal(120, arguments, variables, None).await;
        assert!(shown.contains("held ") && !shown.contains(ESCAPE), "{arguments:?} {variables:?}: {shown:?}");
    }
    for (color, is_coloured) in [("auto", false), ("always", true), ("never", false)] {
        let piped = world.piped(&["status", "--color", color], &[("NO_COLOR", "")]).await;
        assert_eq!(piped.contains(HELD), is_coloured, "{color}: {piped:?}");
    }
    let (_, help) = world.at_terminal(120, &["--help"], &[], None).await;
    let (_, plain) = world.at_terminal(120, &["--color=never", "--help"], &[], None).await;
    assert!(help.contains(ESCAPE) && !plain.contains(ESCAPE), "help, too: {plain:?}");
    world.load.end().await;
}
