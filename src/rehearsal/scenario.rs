use crate::model::Side;

/// A story to rehearse: how both sides of a service behave over time.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What happens, in a sentence.
    pub about: String,
    /// What the judge must do.
    pub truth: Truth,
    /// Requests a second, on average over a day.
    pub per_second: f64,
    /// The share of them that goes to Kubernetes.
    pub weight: f64,
    /// How long it lasts, in seconds.
    pub lasts_s: f64,
    pub(super) helios: Vec<(f64, Law)>,
    pub(super) kubernetes: Vec<(f64, Law)>,
    pub(super) troubles: Vec<Trouble>,
    /// How much the load swings about its mean, and over how many seconds.
    pub(super) swing: Option<(f64, f64)>,
    /// Kubernetes is asked for other routes than Helios: the heavier ones so many times as often.
    pub(super) skew: f64,
}

/// What the judge must do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truth {
    /// Nothing: Kubernetes is no worse than is tolerated.
    Hold,
    /// Find it worse from this second on, and not before.
    Worse {
        /// Seconds since the start.
        from_s: f64,
    },
}

/// How one side behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    /// The share of requests that fail.
    pub(super) errors: f64,
    /// Failures of one route, by its place.
    pub(super) route_errors: Option<(usize, f64)>,
    /// No connection is made at all.
    pub(super) refuses: bool,
    /// The share of requests that get no answer.
    pub(super) hangs: f64,
    /// Latencies are so many times as long.
    pub(super) slower: f64,
    /// By so much more each minute since the law began.
    pub(super) slower_a_minute: f64,
    /// This share of the requests, the slowest, take so many times as long.
    pub(super) tail: Option<(f64, f64)>,
    /// The spread of latencies: the standard deviation of their logarithm.
    pub(super) spread: f64,
    /// One endpoint of ten fails this share of its requests, and takes so many times as long.
    pub(super) one_bad: Option<(f64, f64)>,
    /// All of this only for the first so many seconds of each so many.
    pub(super) only: Option<(f64, f64)>,
}

/// Something that happens now and then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) whom: Whom,
    pub(super) what: What,
    /// Seconds between two of them, on average: exponentially distributed.
    pub(super) every_s: f64,
    pub(super) lasts_s: f64,
    /// When it happens first, if that is set.
    pub(super) first_s: Option<f64>,
}

/// Whom it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Only(Side),
    /// Either side, each by itself.
    Each,
    /// Both at once.
    Both,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// This share of the requests fails.
    Fails(f64),
    /// This many endpoints of ten refuse connections.
    Refuses(usize),
    /// This many endpoints of ten stand still: who comes waits for the end.
    Pauses(usize),
    /// Answers take so many times as long.
    Slows(f64),
    /// So many times the requests.
    Load(f64),
}

/// Routes by their share of requests and median latency in milliseconds.
pub(super) const ROUTES: [(&str, f64, f64); 5] = [
    ("GET /v1/items/*", 0.40, 20.0),
    ("GET /v1/users/*", 0.25, 35.0),
    ("GET /v1/search", 0.17, 60.0),
    ("POST /v1/events", 0.10, 15.0),
    ("GET /v1/reports/*", 0.08, 120.0),
];

/// Endpoints of a side.
pub(super) const ENDPOINTS: usize = 10;

/// Seconds in which nothing is wrong yet.
const HEALTHY_S: f64 = 600.0;

impl Law {
    pub(super) const fn fine() -> Self {
        Self {
            errors: 0.001,
            route_errors: None,
            refuses: false,
            hangs: 0.0,
            slower: 1.0,
            slower_a_minute: 0.0,
            tail: None,
            spread: 0.5,
            one_bad: None,
            only: None,
        }
    }
}

impl Scenario {
    fn new(name: &str, about: &str) -> Self {
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            truth: Truth::Hold,
            per_second: 200.0,
            weight: 0.5,
            lasts_s: 1_800.0,
            helios: vec![(0.0, Law::fine())],
            kubernetes: vec![(0.0, Law::fine())],
            troubles: Vec::new(),
            swing: None,
            skew: 1.0,
        }
    }

    /// Kubernetes becomes worse, after a healthy time.
    fn worse(name: &str, about: &str, law: Law, within_s: f64) -> Self {
        let mut scenario = Self::new(name, about);
        scenario.kubernetes.push((HEALTHY_S, law));
        scenario.truth = Truth::Worse { from_s: HEALTHY_S };
        scenario.lasts_s = HEALTHY_S + within_s;
        scenario
    }

    fn at(mut self, per_second: f64, weight: f64) -> Self {
        (self.per_second, self.weight) = (per_second, weight);
        self
    }

    fn with(mut self, whom: Whom, what: What, every_s: f64, lasts_s: f64) -> Self {
        self.troubles.push(Trouble { whom, what, every_s, lasts_s, first_s: None });
        self
    }

    fn once(mut self, whom: Whom, what: What, first_s: f64, lasts_s: f64) -> Self {
        self.troubles.push(Trouble { whom, what, every_s: f64::INFINITY, lasts_s, first_s: Some(first_s) });
        self
    }

    fn both(mut self, from_s: f64, law: Law) -> Self {
        self.helios.push((from_s, law));
        self.kubernetes.push((from_s, law));
        self
    }

    fn healthy_for(mut self, healthy_s: f64) -> Self {
        if let Truth::Worse { from_s } = &mut self.truth {
            self.lasts_s += healthy_s - *from_s;
            for (from, _) in &mut self.kubernetes {
                if *from >= *from_s {
                    *from += healthy_s - *from_s;
                }
            }
            *from_s = healthy_s;
        }
        self
    }
}

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    let mut all = degrading();
    all.extend(degrading_elsewhere());
    all.extend(degrading_afterthoughts());
    all.extend(held());
    all.extend(held_in_trouble());
    all.extend(held_afterthoughts());
    all
}

const FINE: Law = Law::fine();

fn degrading() -> Vec<Scenario> {
    let worse = Scenario::worse;
    let errors = |errors: f64| Law { errors, ..FINE };
    vec![
        worse("refuses", "no connection is made", Law { refuses: true, ..FINE }, 30.0),
        worse("hangs", "no request is answered", Law { hangs: 1.0, ..FINE }, 60.0),
        worse("errors-50", "half the requests fail", errors(0.5), 30.0),
        worse("errors-10", "10 % fail", errors(0.1), 60.0),
        worse("errors-5", "5 % fail", errors(0.05), 120.0),
        worse("errors-1", "1 % fails", errors(0.01), 600.0),
        worse("errors-0.5", "0.5 % fail", errors(0.005), 2_400.0),
        Scenario {
            helios: vec![(0.0, errors(0.0))],
            kubernetes: vec![(0.0, errors(0.0)), (HEALTHY_S, errors(0.003))],
            ..worse("errors-0.3-of-none", "0.3 % fail where none failed", FINE, 1_200.0)
        },
        worse("slower-1.3", "every answer takes 1.3 times as long", Law { slower: 1.3, ..FINE }, 300.0),
        worse("slower-2", "every answer takes twice as long", Law { slower: 2.0, ..FINE }, 60.0),
        worse("tail-2", "the slowest 2 % take twice as long", Law { tail: Some((0.02, 2.0)), ..FINE }, 600.0),
        worse(
            "tail-5",
            "the slowest 2 % take five times as long",
            Law { tail: Some((0.02, 5.0)), ..FINE },
            600.0,
        ),
        worse(
            "tail-5-of-1",
            "the slowest 1 % take five times as long",
            Law { tail: Some((0.01, 5.0)), ..FINE },
            600.0,
        ),
        worse("spread", "the median stays, the spread grows", Law { spread: 0.8, ..FINE }, 600.0),
        worse(
            "one-fails",
            "one endpoint of ten fails half its requests",
            Law { one_bad: Some((0.5, 1.0)), ..FINE },
            120.0,
        ),
        worse(
            "one-slow",
            "one endpoint of ten is ten times slower",
            Law { one_bad: Some((0.001, 10.0)), ..FINE },
            120.0,
        ),
        worse(
            "flaps",
            "everything fails for one second in ten",
            Law { errors: 1.0, only: Some((1.0, 10.0)), ..FINE },
            120.0,
        ),
        worse(
            "route-20",
            "20 % fail on a route with 8 % of the requests",
            Law { route_errors: Some((4, 0.2)), ..FINE },
            300.0,
        ),
        Scenario {
            truth: Truth::Worse { from_s: HEALTHY_S + 840.0 },
            ..worse("drifts", "slower by 1 % a minute", Law { slower_a_minute: 0.01, ..FINE }, 3_600.0)
        },
    ]
}

fn degrading_elsewhere() -> Vec<Scenario> {
    let worse = Scenario::worse;
    let errors = |errors: f64| Law { errors, ..FINE };
    let refuses = Law { refuses: true, ..FINE };
    let mut all = Vec::new();
    for (percent, within_s) in [(1.0, 900.0), (10.0, 300.0), (90.0, 300.0), (99.0, 900.0)] {
        let name = format!("errors-5-at-{percent}");
        all.push(worse(&name, "5 % fail", errors(0.05), within_s).at(200.0, percent / 100.0));
    }
    for (percent, within_s) in [(1.0, 120.0), (99.0, 120.0)] {
        let name = format!("refuses-at-{percent}");
        all.push(worse(&name, "no connection is made", refuses, within_s).at(200.0, percent / 100.0));
    }
    for (rate, healthy_s, within_s) in
        [(0.1, 86_400.0, 3_600.0), (1.0, 14_400.0, 600.0), (10.0, 3_600.0, 120.0), (1_000.0, 300.0, 30.0)]
    {
        let name = format!("refuses-{rate}-a-second");
        all.push(
            worse(&name, "no connection is made", refuses, within_s).at(rate, 0.5).healthy_for(healthy_s),
        );
    }
    let messy = |scenario: Scenario| {
        scenario
            .with(Whom::Both, What::Fails(0.3), 120.0, 2.0)
            .with(Whom::Each, What::Refuses(1), 60.0, 0.7)
            .with(Whom::Each, What::Pauses(1), 20.0, 0.3)
            .healthy_for(1_800.0)
    };
    all.push(messy(worse(
        "errors-5-amid-trouble",
        "5 % fail amid shared bursts and restarts",
        errors(0.05),
        600.0,
    )));
    all.push(messy(worse(
        "refuses-amid-trouble",
        "no connection is made, amid shared bursts and restarts",
        refuses,
        120.0,
    )));
    all.push(messy(worse(
        "slower-1.5-amid-trouble",
        "1.5 times as long, amid shared bursts and restarts",
        Law { slower: 1.5, ..FINE },
        600.0,
    )));
    all.push(worse("hangs-2", "2 % get no answer", Law { hangs: 0.02, ..FINE }, 300.0));
    all.push(worse("errors-5-at-night", "5 % fail while the load swings", errors(0.05), 300.0).with(
        Whom::Both,
        What::Load(3.0),
        300.0,
        60.0,
    ));
    all.push(
        worse("errors-2-at-20", "2 % fail of 20 requests a second", errors(0.02), 1_200.0)
            .at(20.0, 0.5)
            .healthy_for(1_800.0),
    );
    all.push(
        worse(
            "slower-1.5-at-20",
            "1.5 times as long at 20 requests a second",
            Law { slower: 1.5, ..FINE },
            1_200.0,
        )
        .at(20.0, 0.5)
        .healthy_for(1_800.0),
    );
    all
}

/// Made up after the judge was done, and played once: nothing was changed for them.
fn degrading_afterthoughts() -> Vec<Scenario> {
    let worse = Scenario::worse;
    let k = Whom::Only(Side::Kubernetes);
    vec![
        worse("hangs-5", "5 % get no answer", Law { hangs: 0.05, ..FINE }, 300.0),
        worse(
            "tenth-slower-3",
            "the slowest tenth takes three times as long",
            Law { tail: Some((0.1, 3.0)), ..FINE },
            300.0,
        ),
        worse(
            "one-slow-3",
            "one endpoint of ten is three times slower",
            Law { one_bad: Some((0.001, 3.0)), ..FINE },
            600.0,
        ),
        worse(
            "flaps-partly",
            "30 % fail for three seconds in fifteen",
            Law { errors: 0.3, only: Some((3.0, 15.0)), ..FINE },
            300.0,
        ),
        worse(
            "slower-and-fails",
            "1.2 times as long, and 0.5 % fail",
            Law { slower: 1.2, errors: 0.005, ..FINE },
            1_200.0,
        ),
        worse(
            "post-fails",
            "half of the rare POSTs fail",
            Law { route_errors: Some((3, 0.5)), ..FINE },
            300.0,
        ),
        worse("slower-5-at-1", "five times as long at 1 %", Law { slower: 5.0, ..FINE }, 600.0)
            .at(200.0, 0.01),
        worse("hangs-at-90", "nothing is answered at 90 %", Law { hangs: 1.0, ..FINE }, 120.0).at(200.0, 0.9),
        worse("errors-20-after-rush", "20 % fail while the load triples", Law { errors: 0.2, ..FINE }, 120.0)
            .once(Whom::Both, What::Load(3.0), HEALTHY_S, 60.0),
        worse(
            "refuses-in-restarts",
            "no connection, after restarts of single endpoints",
            Law { refuses: true, ..FINE },
            60.0,
        )
        .with(k, What::Refuses(1), 120.0, 0.5),
    ]
}

/// Made up after the judge was done, and played once: nothing was changed for them.
fn held_afterthoughts() -> Vec<Scenario> {
    let new = Scenario::new;
    let (k, h) = (Whom::Only(Side::Kubernetes), Whom::Only(Side::Helios));
    let rolling = |mut scenario: Scenario, whom: Whom| {
        for endpoint in 0..10 {
            scenario = scenario.once(whom, What::Refuses(1), 600.0 + 15.0 * f64::from(endpoint), 0.3);
        }
        scenario
    };
    let errors = |errors: f64| Law { errors, ..FINE };
    vec![
        rolling(new("rolls", "Kubernetes' endpoints restart one after the other"), k),
        rolling(new("helios-rolls", "Helios' endpoints restart one after the other"), h),
        Scenario {
            kubernetes: vec![(0.0, Law { errors: 0.0017, slower: 1.15, ..FINE })],
            ..new("border", "Kubernetes is exactly as bad as is tolerated")
        },
        Scenario {
            helios: vec![(0.0, errors(0.2)), (600.0, FINE)],
            ..new("helios-recovers", "Helios fails at first, and is well again")
        },
        new("recovery", "both sides are gone for a minute, and come back").once(
            Whom::Both,
            What::Refuses(10),
            600.0,
            60.0,
        ),
        new("quiet-hour", "a hundredth of the load for ten minutes").once(
            Whom::Both,
            What::Load(0.01),
            600.0,
            600.0,
        ),
        new("crowd", "twenty times the load for half a minute, twice as slow")
            .once(Whom::Both, What::Load(20.0), 600.0, 30.0)
            .once(Whom::Both, What::Slows(2.0), 600.0, 30.0),
        new("one-pauses", "one endpoint of Kubernetes pauses for half a second, each two minutes").with(
            k,
            What::Pauses(1),
            120.0,
            0.5,
        ),
        new("blinks", "all of Kubernetes is gone for 0.1 s, each minute").with(
            k,
            What::Refuses(10),
            60.0,
            0.1,
        ),
        new("shared-ramp", "failures on both sides rise step by step")
            .both(300.0, errors(0.01))
            .both(600.0, errors(0.05))
            .both(900.0, errors(0.2))
            .both(1_200.0, errors(0.6)),
    ]
}

fn held() -> Vec<Scenario> {
    let new = Scenario::new;
    let mut all = Vec::new();
    for rate in [0.1, 1.0, 10.0, 200.0, 1_000.0] {
        for percent in [1.0, 50.0, 99.0] {
            let mut scenario = new(&format!("same-{rate}-at-{percent}"), "both sides are the same");
            scenario.lasts_s = if rate < 100.0 {
                14_400.0
            } else if rate < 1_000.0 {
                3_600.0
            } else {
                1_200.0
            };
            all.push(scenario.at(rate, percent / 100.0));
        }
    }
    let k = |name: &str, about: &str, law: Law| Scenario { kubernetes: vec![(0.0, law)], ..new(name, about) };
    let h = |name: &str, about: &str, law: Law| Scenario {
        helios: vec![(0.0, FINE), (600.0, law)],
        ..new(name, about)
    };
    all.push(k("tolerated-errors", "0.15 % fail: tolerated", Law { errors: 0.0015, ..FINE }));
    all.push(k("tolerated-slower", "1.1 times as long: tolerated", Law { slower: 1.1, ..FINE }));
    all.push(k("faster", "Kubernetes is better", Law { slower: 0.6, errors: 0.0, ..FINE }));
    all.push(h("helios-fails", "10 % fail on Helios", Law { errors: 0.1, ..FINE }));
    all.push(h("helios-slow", "Helios is three times slower", Law { slower: 3.0, ..FINE }));
    all.push(h("helios-refuses", "no connection is made on Helios", Law { refuses: true, ..FINE }));
    all.push(
        new("both-fail", "a shared database fails: 20 % on both sides")
            .both(600.0, Law { errors: 0.2, ..FINE }),
    );
    all.push(
        new("both-slow", "everything takes three times as long").both(600.0, Law { slower: 3.0, ..FINE }),
    );
    all.push(new("both-hang", "nothing is answered").both(600.0, Law { hangs: 1.0, ..FINE }));
    all.push(new("both-refuse", "no connection is made at all").both(600.0, Law { refuses: true, ..FINE }));
    all.push(
        new("both-fail-at-99", "a shared database fails: 20 % on both sides")
            .both(600.0, Law { errors: 0.2, ..FINE })
            .at(200.0, 0.99),
    );
    all.push(
        new("both-slow-at-1", "everything takes three times as long")
            .both(600.0, Law { slower: 3.0, ..FINE })
            .at(200.0, 0.01),
    );
    all.push(Scenario {
        skew: 4.0,
        ..new("skewed", "Kubernetes gets four times as many of the slow routes")
    });
    all.push(Scenario { skew: 0.25, ..new("skewed-fast", "Kubernetes gets a quarter of the slow routes") });
    all.push(Scenario {
        swing: Some((0.8, 3_600.0)),
        lasts_s: 7_200.0,
        ..new("swings", "the load swings fivefold")
    });
    all
}

fn held_in_trouble() -> Vec<Scenario> {
    let new = Scenario::new;
    let k = Whom::Only(Side::Kubernetes);
    let mut all = Vec::new();
    for rate in [10.0, 200.0, 1_000.0] {
        let named = |name: &str, about: &str| {
            let mut scenario = new(&format!("{name}-{rate}"), about).at(rate, 0.5);
            scenario.lasts_s = if rate < 1_000.0 { 7_200.0 } else { 2_400.0 };
            scenario
        };
        all.push(named("restarts", "one endpoint of ten restarts each ten minutes, on Kubernetes").with(
            k,
            What::Refuses(1),
            600.0,
            0.7,
        ));
        all.push(named("blips", "all of Kubernetes is gone for 0.3 s, each ten minutes").with(
            k,
            What::Refuses(10),
            600.0,
            0.3,
        ));
        all.push(
            named("pauses", "one endpoint of ten pauses for 0.3 s, each ten seconds, on either side").with(
                Whom::Each,
                What::Pauses(1),
                10.0,
                0.3,
            ),
        );
        all.push(named("bursts", "30 % fail for two seconds each two minutes, on both sides").with(
            Whom::Both,
            What::Fails(0.3),
            120.0,
            2.0,
        ));
        all.push(
            named("trouble", "shared bursts, restarts and pauses")
                .with(Whom::Both, What::Fails(0.3), 120.0, 2.0)
                .with(Whom::Each, What::Refuses(1), 60.0, 0.7)
                .with(Whom::Each, What::Pauses(1), 20.0, 0.3),
        );
    }
    all.extend(held_in_rare_trouble());
    all
}

fn held_in_rare_trouble() -> Vec<Scenario> {
    let new = Scenario::new;
    let k = Whom::Only(Side::Kubernetes);
    let gone = What::Refuses(10);
    vec![
        new("slowdowns", "both sides are twice as slow for 20 s, each five minutes").with(
            Whom::Both,
            What::Slows(2.0),
            300.0,
            20.0,
        ),
        new("outages", "both sides are gone for 5 s, each ten minutes").with(Whom::Both, gone, 600.0, 5.0),
        new("rushes", "ten times the load for 10 s, each five minutes").with(
            Whom::Both,
            What::Load(10.0),
            300.0,
            10.0,
        ),
        new("sides-restart", "either side is gone for 0.6 s, each ten minutes").with(
            Whom::Each,
            gone,
            600.0,
            0.6,
        ),
        new("starts-in-trouble", "two restarts of all of Kubernetes within six seconds of the start")
            .once(k, gone, 5.0, 0.7)
            .once(k, gone, 10.5, 0.7),
        new("cold", "Kubernetes is three times slower in its first minute").once(
            k,
            What::Slows(3.0),
            0.0,
            55.0,
        ),
    ]
}
