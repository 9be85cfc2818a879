//! Loops over single vectors: what encoding needs. Written once, compiled for each kind of CPU.

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for the least CPU of the target, and chosen at run time.
macro_rules! for_each_cpu {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling what is compiled for a certain CPU"))]
        pub(crate) fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                fn wide($($arg: $type),*) $(-> $result)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn narrow($($arg: $type),*) $(-> $result)? {
                    body($($arg),*)
                }
                match level() {
                    // SAFETY: `level` has found the features.
                    Level::Wide => return unsafe { wide($($arg),*) },
                    // SAFETY: as above.
                    Level::Narrow => return unsafe { narrow($($arg),*) },
                    Level::Least => {}
                }
            }
            body($($arg),*)
        }
    };
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
enum Level {
    Wide,
    Narrow,
    Least,
}

#[cfg(target_arch = "x86_64")]
fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let narrow = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl");
        match narrow {
            true if wide && is_x86_feature_detected!("avx512dq") => Level::Wide,
            true => Level::Narrow,
            false => Level::Least,
        }
    })
}

/// Independent sums, so that additions need not wait for each other.
const LANES: usize = 16;

for_each_cpu! {
    /// The Walsh–Hadamard transform of a vector whose length is a power of two, scaled to keep its length.
    fn hadamard(values: &mut [f32]) {
        let mut half = 1;
        // The three smallest steps in one pass over eights.
        if values.len() >= 8 {
            for eight in values.as_chunks_mut::<8>().0 {
                let [a, b, c, d, e, f, g, h] = *eight;
                let (a, b, c, d, e, f, g, h) = (a + b, a - b, c + d, c - d, e + f, e - f, g + h, g - h);
                let (a, b, c, d, e, f, g, h) = (a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h);
                *eight = [a + e, b + f, c + g, d + h, a - e, b - f, c - g, d - h];
            }
            half = 8;
        }
        while half < values.len() {
            for pair in values.chunks_exact_mut(2 * half) {
                let (left, right) = pair.split_at_mut(half);
                for (a, b) in left.iter_mut().zip(right) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        let scale = 1.0 / (values.len() as f32).sqrt();
        values.iter_mut().for_each(|value| *value *= scale);
    }
}

for_each_cpu! {
    /// The dot product of two vectors of one length.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
        let mut lanes = [0.0f32; 32];
        for (a, b) in a.iter().zip(b) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
        }
        lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
    }
}

for_each_cpu! {
    /// The largest absolute value.
    fn largest(values: &[f32]) -> f32 {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = if value.abs() > *lane { value.abs() } else { *lane };
            }
        }
        rest.iter().chain(&lanes).fold(0.0f32, |most, value| most.max(value.abs()))
    }
}

for_each_cpu! {
    /// The numbers that stand at one place of each byte of a code, times a factor and shifted, as the bytes of a query; returns
    /// their sum. The places of a byte are `bits` bits wide.
    fn centre_codes(code: &[u8], bits: usize, place: usize, factor: i16, shift: i16, values: &mut [i8]) -> i32 {
        let mask = u8::MAX >> (8 - bits);
        let mut sum = 0;
        for (byte, value) in code.iter().zip(values) {
            let number = i16::from((byte >> (place * bits)) & mask);
            let centred = (number * factor - shift).max(-127);
            // Between -127 and 127 by what `quantization` asks for.
            *value = centred as i8;
            sum += i32::from(centred);
        }
        sum
    }
}

for_each_cpu! {
    /// How well a grid of `2 * half` cells of this width fits a vector: the vector's dot product with the cells' centres, in
    /// cells, and the centres' squared length.
    fn fit_grid(values: &[f32], cells_per_unit: f32, half: f32) -> (f32, f32) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let (mut dots, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let centre = centre(chunk[lane], cells_per_unit, half);
                dots[lane] += centre * chunk[lane];
                squares[lane] += centre * centre;
            }
        }
        for &value in rest {
            let centre = centre(value, cells_per_unit, half);
            dots[0] += centre * value;
            squares[0] += centre * centre;
        }
        (dots.iter().sum(), squares.iter().sum())
    }
}

/// The centre of the cell of a value: half-odd, from `0.5 - half` to `half - 0.5`.
#[inline(always)]
fn centre(value: f32, cells_per_unit: f32, half: f32) -> f32 {
    (value * cells_per_unit).floor().max(-half).min(half - 1.0) + 0.5
}

for_each_cpu! {
    /// The number of each value's cell, from 0 to `2 * half - 1`.
    fn quantize(values: &[f32], cells_per_unit: f32, half: f32, numbers: &mut [u8]) {
        for (number, &value) in numbers.iter_mut().zip(values) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range before")]
            let cell = (centre(value, cells_per_unit, half) - 0.5 + half) as i32 as u8;
            *number = cell;
        }
    }
}

for_each_cpu! {
    /// Each value as a signed byte, rounded, and their sum.
    fn to_bytes(values: &[f32], scale: f32, bytes: &mut [i8]) -> i32 {
        let mut sum = 0i32;
        for (byte, &value) in bytes.iter_mut().zip(values) {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to the range before")]
            let number = ((value * scale).clamp(-127.0, 127.0) + 127.5).floor() as i32 - 127;
            *byte = number as i8;
            sum += number;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_keeps_lengths_and_undoes_itself() {
        for log in 0..11 {
            let before: Vec<f32> = (0..1 << log).map(|i| (i as f32 * 0.7).sin()).collect();
            let mut values = before.clone();
            hadamard(&mut values);
            let length = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
            assert!((length(&before) - length(&values)).abs() < 1e-3 * (1.0 + length(&before)));
            hadamard(&mut values);
            assert!(values.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4), "2^{log}");
        }
    }

    #[test]
    fn grids_hold_all_values() {
        let values: Vec<f32> = (-50..50).map(|i| i as f32 * 0.1).collect();
        let mut numbers = vec![0; values.len()];
        quantize(&values, 2.0, 8.0, &mut numbers);
        for (value, number) in values.iter().zip(&numbers) {
            assert!(*number < 16);
            let centre = (f32::from(*number) - 7.5) / 2.0;
            assert!((value.clamp(-3.99, 3.99) - centre).abs() <= 0.26, "{value} became {centre}");
        }
        let (dot, square) = fit_grid(&[0.3, -0.3], 1.0, 8.0);
        assert_eq!((dot, square), (0.3, 0.5));
    }

    #[test]
    fn bytes_are_rounded_and_summed() {
        let mut bytes = [0; 4];
        assert_eq!(to_bytes(&[1.0, -1.0, 0.26, 9.0], 10.0, &mut bytes), 93);
        assert_eq!(bytes, [10, -10, 3, 90]);
        assert_eq!(largest(&[0.5, -2.0, 1.0]), 2.0);
    }
}
