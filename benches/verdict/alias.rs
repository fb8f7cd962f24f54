//! Draws from a fixed list of chances in constant time (A. Walker, 1977; M. Vose's construction, 1991).

/// Chances to draw places from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alias {
    /// By place: below this much of 2³² it is this place, above it the other.
    places: Vec<(u32, u32)>,
    small: Vec<u32>,
    large: Vec<u32>,
    scaled: Vec<f64>,
}

impl Alias {
    /// Takes other chances, which need not add up to one.
    pub(crate) fn set(&mut self, chances: &[f64]) {
        let Self { places, small, large, scaled } = self;
        let scale = chances.len() as f64 / chances.iter().sum::<f64>();
        small.clear();
        large.clear();
        scaled.clear();
        places.clear();
        for (place, chance) in (0..).zip(chances) {
            scaled.push(chance * scale);
            places.push((u32::MAX, place));
            if chance * scale < 1.0 { &mut *small } else { &mut *large }.push(place);
        }
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            let kept = scaled[less as usize];
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 1, scaled"
            )]
            let below = (kept * f64::from(u32::MAX)) as u32;
            places[less as usize] = (below, more);
            let left = &mut scaled[more as usize];
            *left -= 1.0 - kept;
            if *left < 1.0 { &mut *small } else { &mut *large }.push(more);
        }
    }

    /// Draws a place.
    #[inline]
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let random = rng.u64(..);
        let (high, low) = (random >> 32, random & u64::from(u32::MAX));
        let place = ((high * self.places.len() as u64) >> 32) as usize;
        let (below, other) = self.places[place];
        if low < u64::from(below) { place } else { other as usize }
    }
}
