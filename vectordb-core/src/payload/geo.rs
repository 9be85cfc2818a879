//! Places, distances and shapes on the earth.

use crate::model::filter::FieldTest;
use crate::model::payload::{GeoPoint, Value};

/// Mean radius of the earth in metres.
const EARTH_RADIUS: f64 = 6_371_008.8;

/// A place out of a payload: `{"lon": …, "lat": …}` with numbers in range.
pub(crate) fn place(value: &Value) -> Option<GeoPoint> {
    let number = |key| value.get(key).and_then(Value::as_f64);
    GeoPoint::new(number("lon")?, number("lat")?).ok()
}

/// Great-circle distance in metres (haversine formula).
pub(crate) fn distance(a: GeoPoint, b: GeoPoint) -> f64 {
    let (lat_a, lat_b) = (a.lat.to_radians(), b.lat.to_radians());
    let (half_lat, half_lon) = ((lat_b - lat_a) / 2.0, (b.lon - a.lon).to_radians() / 2.0);
    let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS * h.clamp(0.0, 1.0).sqrt().asin()
}

/// Whether a place lies inside the box between its north-west and south-east corners, not on its edge; across the antimeridian
/// if left is east of right.
pub(crate) fn in_box(place: GeoPoint, top_left: GeoPoint, bottom_right: GeoPoint) -> bool {
    let lon = if top_left.lon > bottom_right.lon {
        place.lon > top_left.lon || place.lon < bottom_right.lon
    } else {
        top_left.lon < place.lon && place.lon < bottom_right.lon
    };
    lon && bottom_right.lat < place.lat && place.lat < top_left.lat
}

/// Whether a place lies inside a ring: a ray to the east crosses its edges an odd number of times.
pub(crate) fn in_ring(place: GeoPoint, ring: &[GeoPoint]) -> bool {
    let mut inside = false;
    let mut previous = match ring.last() {
        Some(last) => *last,
        None => return false,
    };
    for &corner in ring {
        if (corner.lat > place.lat) != (previous.lat > place.lat) {
            let crossing = (previous.lon - corner.lon) * (place.lat - corner.lat) / (previous.lat - corner.lat) + corner.lon;
            if place.lon < crossing {
                inside = !inside;
            }
        }
        previous = corner;
    }
    inside
}

/// Whether a place satisfies a geographic test; other tests are satisfied by no place.
pub(crate) fn matches(test: &FieldTest, place: GeoPoint) -> bool {
    match test {
        FieldTest::GeoBoundingBox { top_left, bottom_right } => in_box(place, *top_left, *bottom_right),
        FieldTest::GeoRadius { center, radius } => distance(*center, place) < *radius,
        FieldTest::GeoPolygon { exterior, interiors } => in_ring(place, exterior) && !interiors.iter().any(|hole| in_ring(place, hole)),
        _ => false,
    }
}

/// A box of degrees that holds every place satisfying a geographic test: south, north, and the longitudes, which may wrap.
pub(crate) fn bounds(test: &FieldTest) -> Option<(GeoPoint, GeoPoint)> {
    match test {
        FieldTest::GeoBoundingBox { top_left, bottom_right } => Some((*top_left, *bottom_right)),
        FieldTest::GeoRadius { center, radius } => Some(around(*center, *radius)),
        FieldTest::GeoPolygon { exterior, .. } => {
            let fold = |pick: fn(&GeoPoint) -> f64, better: fn(f64, f64) -> f64| exterior.iter().map(pick).reduce(better);
            let top_left = GeoPoint { lon: fold(|p| p.lon, f64::min)?, lat: fold(|p| p.lat, f64::max)? };
            Some((top_left, GeoPoint { lon: fold(|p| p.lon, f64::max)?, lat: fold(|p| p.lat, f64::min)? }))
        }
        _ => None,
    }
}

/// A box around a circle, a little larger than need be; near a pole all longitudes.
fn around(center: GeoPoint, radius: f64) -> (GeoPoint, GeoPoint) {
    let lat = (radius / EARTH_RADIUS).to_degrees() * 1.001 + 1e-9;
    let (south, north) = (center.lat - lat, center.lat + lat);
    // A negated test, so that a radius that is not a number takes this way too.
    let narrow = south > -89.9 && north < 89.9 && lat < 90.0;
    let widest = south.abs().max(north.abs()).to_radians().cos();
    let lon = lat / widest.max(1e-9);
    if !narrow || lon >= 180.0 {
        return (GeoPoint { lon: -180.0, lat: north }, GeoPoint { lon: 180.0, lat: south });
    }
    let wrap = |lon: f64| {
        if lon > 180.0 {
            lon - 360.0
        } else if lon < -180.0 {
            lon + 360.0
        } else {
            lon
        }
    };
    (GeoPoint { lon: wrap(center.lon - lon), lat: north }, GeoPoint { lon: wrap(center.lon + lon), lat: south })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lon: f64, lat: f64) -> GeoPoint {
        GeoPoint { lon, lat }
    }

    #[test]
    fn distances_are_those_of_the_earth() {
        let (berlin, paris) = (at(13.405, 52.52), at(2.3522, 48.8566));
        assert!((distance(berlin, paris) - 877_500.0).abs() < 1_500.0);
        assert!((distance(at(179.9, 0.0), at(-179.9, 0.0)) - 22_239.0).abs() < 20.0);
    }

    #[test]
    fn boxes_cross_the_antimeridian() {
        assert!(in_box(at(179.0, 0.0), at(170.0, 10.0), at(-170.0, -10.0)));
        assert!(in_box(at(-179.0, 0.0), at(170.0, 10.0), at(-170.0, -10.0)));
        assert!(!in_box(at(0.0, 0.0), at(170.0, 10.0), at(-170.0, -10.0)));
        assert!(!in_box(at(180.0, 0.0), at(0.0, 90.0), at(180.0, -90.0)), "edges lie outside");
    }

    /// As indexes read the bounds: with their edges.
    fn in_bounds(place: GeoPoint, top_left: GeoPoint, bottom_right: GeoPoint) -> bool {
        let wraps = top_left.lon > bottom_right.lon;
        let (east, west) = (place.lon >= top_left.lon, place.lon <= bottom_right.lon);
        (if wraps { east || west } else { east && west }) && (bottom_right.lat..=top_left.lat).contains(&place.lat)
    }

    #[test]
    fn every_place_in_a_circle_lies_in_its_box() {
        for center in [at(0.0, 0.0), at(179.5, 10.0), at(-179.9, -60.0), at(10.0, 89.0), at(5.0, -85.0)] {
            for radius in [10.0, 5_000.0, 400_000.0, 9_000_000.0, 30_000_000.0] {
                let test = FieldTest::GeoRadius { center, radius };
                let (top_left, bottom_right) = bounds(&test).expect("a circle has a box");
                for lon in (-180..=180).step_by(3) {
                    for lat in (-90..=90).step_by(3) {
                        let place = at(f64::from(lon), f64::from(lat));
                        assert!(!matches(&test, place) || in_bounds(place, top_left, bottom_right), "{center:?} {radius} {place:?}");
                    }
                }
            }
        }
    }
}
