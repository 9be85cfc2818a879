//! Places in a grid of degrees: rows in order of cell, and within a row of cells in order of longitude.

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::Candidates;
use crate::model::filter::FieldTest;
use crate::model::payload::GeoPoint;
use crate::payload::geo;
use crate::storage::heap;

/// Bands of latitude of about 11 km.
const BANDS_PER_DEGREE: f64 = 10.0;
const MOST_FRESH: usize = 1024;

/// Places sorted by band of latitude and then by longitude.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    sorted: Vec<Place>,
    fresh: Vec<Place>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Place {
    band: i32,
    lon: f64,
    lat: f64,
    row: u32,
}

impl Place {
    fn point(&self) -> GeoPoint {
        GeoPoint { lon: self.lon, lat: self.lat }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "latitudes are small; out of range they saturate")]
fn band(lat: f64) -> i32 {
    (lat * BANDS_PER_DEGREE).floor() as i32
}

fn compare(a: &Place, b: &Place) -> std::cmp::Ordering {
    a.band.cmp(&b.band).then(a.lon.total_cmp(&b.lon)).then(a.row.cmp(&b.row))
}

impl Places {
    pub(super) fn add(&mut self, row: u32, place: GeoPoint) {
        self.fresh.push(Place { band: band(place.lat), lon: place.lon, lat: place.lat, row });
        if self.fresh.len() > MOST_FRESH.max(self.sorted.len() / 8) {
            self.sorted.append(&mut self.fresh);
            self.sorted.sort_by(compare);
        }
    }

    /// Rows with a place that satisfies a geographic test; exact, since places are all that it looks at.
    pub(super) fn candidates(&self, test: &FieldTest) -> Option<Candidates> {
        let (top_left, bottom_right) = geo::bounds(test)?;
        let mut rows = RoaringBitmap::new();
        let mut look = |place: &Place| {
            if geo::matches(test, place.point()) {
                rows.insert(place.row);
            }
        };
        self.fresh.iter().for_each(&mut look);
        for band in band(bottom_right.lat.max(-90.0))..=band(top_left.lat.min(90.0)) {
            let mut stretch = |from: f64, to: f64| {
                let start = self.sorted.partition_point(|place| (place.band, place.lon) < (band, from));
                self.sorted[start..].iter().take_while(|place| place.band == band && place.lon <= to).for_each(&mut look);
            };
            if top_left.lon > bottom_right.lon {
                stretch(-180.0, bottom_right.lon);
                stretch(top_left.lon, 180.0);
            } else {
                stretch(top_left.lon, bottom_right.lon);
            }
        }
        Some(Candidates::exact(rows))
    }

    pub(super) fn shrink(&mut self) {
        self.sorted.shrink_to_fit();
        self.fresh.shrink_to_fit();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        heap::vec::<Place>(self.sorted.capacity()) + heap::vec::<Place>(self.fresh.capacity())
    }
}
