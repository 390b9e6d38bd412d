use super::*;

fn config(nodes: u32) -> Config {
    Config {
        nodes,
        liars: 0.0,
        churn: 0.0,
        warm_up: 12,
        ..Config::default()
    }
}

#[test]
fn an_honest_network_hears_in_as_many_rounds_as_the_theory_has() {
    // log3 n and a little: 15 rounds for 10^5 were found by an independent run.
    let report = run(&config(100_000)).unwrap();
    let rounds = report.rounds_to_all.unwrap();
    assert!((13..=18).contains(&rounds), "{rounds} rounds");
    assert_eq!(report.isolated, 0);
    assert_eq!(report.stale.max, 0.0);
    assert!(report.reached.is_sorted());
}

#[test]
fn views_become_random() {
    let report = run(&config(20_000)).unwrap();
    assert!(
        (report.in_degree.mean - VIEW_LEN as f64).abs() < 0.5,
        "{:?}",
        report.in_degree
    );
    assert!(
        report.in_degree_dispersion < 3.0,
        "{}",
        report.in_degree_dispersion
    );
}

#[test]
fn those_who_leave_are_forgotten_and_those_who_join_are_found() {
    let report = run(&Config {
        churn: 0.3,
        ..config(20_000)
    })
    .unwrap();
    assert!(
        report.stale.mean > 0.0 && report.stale.mean < 0.1,
        "{:?}",
        report.stale
    );
    assert!(report.rounds_to_all.is_some());
    assert_eq!(report.isolated, 0);
}

#[test]
fn the_defence_keeps_liars_near_their_share() {
    let of = |defence| {
        run(&Config {
            liars: 0.1,
            defence,
            ..config(20_000)
        })
        .unwrap()
    };
    let (open, defended) = (of(false), of(true));
    assert!(open.liars_in_views > 0.3, "{}", open.liars_in_views);
    assert!(
        defended.liars_in_views < open.liars_in_views / 1.5,
        "{}",
        defended.liars_in_views
    );
    assert!(
        defended.liars_in_samplers < 0.25,
        "{}",
        defended.liars_in_samplers
    );
    assert!(defended.rounds_to_all.is_some());
}

#[test]
fn one_seed_is_one_run() {
    let config = Config {
        liars: 0.05,
        churn: 0.1,
        ..config(2_000)
    };
    assert_eq!(run(&config), run(&config));
    assert_ne!(
        run(&config),
        run(&Config {
            seed: 2,
            ..config.clone()
        })
    );
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(run(&config(99)), Err(ConfigError::Nodes(99)));
    assert_eq!(
        run(&config(NODES_MAX + 1)),
        Err(ConfigError::Nodes(NODES_MAX + 1))
    );
    for given in [-0.1, 0.91, f64::NAN] {
        let refused = run(&Config {
            liars: given,
            ..config(100)
        });
        assert!(matches!(refused, Err(ConfigError::Share { .. })), "{given}");
    }
    assert_eq!(
        run(&Config {
            rounds: 0,
            ..config(100)
        }),
        Err(ConfigError::Rounds(0))
    );
}
