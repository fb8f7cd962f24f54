//! The demo tells its story, and the story is true.

use serde_json::Value;

use crate::support::process::Process;

#[test]
fn the_demo_ends_well_and_says_so_to_programs() {
    let output = Process::run(&["demo", "--once", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let weights: Vec<f64> = lines.iter().filter_map(|line| line["weight_percent"].as_f64()).collect();
    for weight in [5.0, 25.0, 50.0, 0.0] {
        assert!(weights.contains(&weight), "never at {weight}: {weights:?}");
    }
    let receipts: Vec<&Value> = lines.iter().filter(|line| !line["finding"].is_null()).collect();
    assert_eq!(receipts.len(), 2, "one receipt for each revert");
    for receipt in receipts {
        assert_eq!(receipt["by"], "judge");
        assert_eq!(receipt["unrescued"], 0);
    }
    let failed = lines.iter().filter_map(|line| line["clients_failed"].as_u64()).max();
    assert_eq!(failed, Some(0));
}
