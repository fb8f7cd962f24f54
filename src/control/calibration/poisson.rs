/// The chance of `count` or more where `mean` are expected (S. D. Poisson, 1837), to the last digits also where it is
/// next to nothing: the upper tail is summed, and not what is left of one.
pub(super) fn at_least(count: u32, mean: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    let log_of_first: f64 = (1..=count).map(|k| (mean / f64::from(k)).ln()).sum::<f64>() - mean;
    // Relative to the first: terms rise to the mean, and then fall faster and faster.
    let (mut term, mut sum, mut k) = (1.0_f64, 1.0_f64, f64::from(count));
    while term > sum * f64::EPSILON || k < mean {
        k += 1.0;
        term *= mean / k;
        sum += term;
        if !sum.is_finite() {
            // So far below the mean that nearly all of the chance lies above.
            return 1.0;
        }
    }
    (log_of_first + sum.ln()).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_tables() {
        // Summed to sixty digits.
        for (count, mean, chance) in [
            (0, 20.0, 1.0),
            (1, 0.0, 0.0),
            (1, 1.0, 0.632_120_558_828_557_7),
            (5, 1.0, 0.003_659_846_827_343_712_2),
            (20, 20.0, 0.529_742_733_160_76),
            (31, 20.0, 0.013_474_681_279_922_282),
            (32, 20.0, 0.008_091_754_669_835_116),
            (1, 1e-4, 9.999_500_016_666_25e-5),
            (2, 1e-4, 4.999_666_679_166_333_5e-9),
            (60, 20.0, 4.233_284_694_712_903e-13),
            (10_300, 10_080.0, 0.014_626_398_807_111_175),
        ] {
            let told = at_least(count, mean);
            assert!((told - chance).abs() <= 1e-9 * chance, "{count} of {mean}: {told:e}, {chance:e}");
        }
    }

    #[test]
    fn chances_fall_as_the_count_rises_and_add_up_to_one() {
        for mean in [0.03, 1.0, 20.0, 700.0, 5_000.0] {
            let mut before = 1.0;
            for count in 1..100 {
                let chance = at_least(count, mean);
                assert!(chance <= before + 1e-12 && chance >= 0.0, "{count} of {mean}: {chance}");
                before = chance;
            }
        }
        assert!((at_least(1, 700.0) - 1.0).abs() < 1e-12);
    }
}
