use std::collections::HashMap;
use std::fmt::Write as _;

/// Who calls whom, and what that costs: callgrind's data of one thread and one phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(super) names: Vec<String>,
    /// Instructions of each function itself.
    pub(super) own: Vec<u64>,
    /// By caller and callee.
    pub(super) calls: HashMap<(usize, usize), Calls>,
}

/// What one function has called another for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub(super) count: u64,
    /// Instructions of the callee, and of all that it has called.
    pub(super) cost: u64,
}

/// Names as they are met: each stands once, behind a number that stands for it from there on.
#[derive(Default)]
struct Names {
    by_number: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
}

impl Profile {
    /// Reads a file of callgrind's.
    pub(super) fn parse(text: &str) -> Self {
        let (mut profile, mut names) = (Self::default(), Names::default());
        let (mut function, mut called, mut count) = (0, 0, None);
        for line in text.lines() {
            if let Some(word) = line.strip_prefix("fn=") {
                function = names.place(word, &mut profile);
            } else if let Some(word) = line.strip_prefix("cfn=") {
                called = names.place(word, &mut profile);
            } else if let Some(words) = line.strip_prefix("calls=") {
                count = words.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                // A line of the source, and what it costs; behind `calls=`, what the call costs.
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
                match count.take() {
                    Some(count) => {
                        let calls = profile.calls.entry((function, called)).or_default();
                        calls.count += count;
                        calls.cost += cost;
                    }
                    None if profile.own.is_empty() => {}
                    None => profile.own[function] += cost,
                }
            }
        }
        profile
    }

    /// All instructions.
    pub(crate) fn total(&self) -> u64 {
        self.own.iter().sum()
    }

    /// How often functions of these names were called by functions of others.
    pub(super) fn called(&self, is_one: impl Fn(&str) -> bool, is_inside: impl Fn(&str) -> bool) -> u64 {
        let from_outside = |(caller, callee): &(usize, usize)| {
            is_one(&self.names[*callee]) && !is_inside(&self.names[*caller])
        };
        self.calls.iter().filter(|(ends, _)| from_outside(ends)).map(|(_, calls)| calls.count).sum()
    }

    /// The functions that cost most by themselves, a line each.
    pub(super) fn most_expensive(&self, most: usize, requests: u64) -> String {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(self.own[*place]));
        let mut text = String::new();
        for place in order.into_iter().take(most) {
            let each = self.own[place] as f64 / requests as f64;
            let share = self.own[place] as f64 / self.total() as f64 * 100.0;
            let _ = writeln!(text, "{each:10.1} {share:5.1} %  {}", self.names[place]);
        }
        text
    }
}

impl Names {
    fn place(&mut self, word: &str, profile: &mut Profile) -> usize {
        let (number, name) = word.split_once(' ').map_or((word, None), |(number, name)| (number, Some(name)));
        if let Some(name) = name {
            let place = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
                profile.names.push(name.to_owned());
                profile.own.push(0);
                profile.names.len() - 1
            });
            self.by_number.insert(number.to_owned(), place);
        }
        self.by_number.get(number).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_the_functions_own_and_those_of_its_calls() {
        let text = "events: Ir\nsummary: 17\n\nfl=(1) a.rs\nfn=(1) outer\n10 5\n+2 2\ncfn=(2) inner\ncalls=3 20\n11 10\n\n\
                    fn=(2)\n20 9\ncfn=(3) mi_malloc\ncalls=1 0\n21 1\n\nfn=(3)\n* 1\n";
        let profile = Profile::parse(text);
        assert_eq!(profile.names, ["outer", "inner", "mi_malloc"]);
        assert_eq!((profile.own.clone(), profile.total()), (vec![7, 9, 1], 17));
        let calls = profile.calls[&(0, 1)];
        assert_eq!((calls.count, calls.cost), (3, 10));
        assert_eq!(profile.called(|name| name == "inner", |_| false), 3);
        assert_eq!(profile.called(|name| name == "mi_malloc", |name| name == "inner"), 0);
    }
}
