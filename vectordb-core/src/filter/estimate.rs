use crate::model::PointId;
use crate::model::filter::*;
use crate::payload::index::FieldIndexes;
use roaring::RoaringBitmap;
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) rows: RoaringBitmap,
    pub(crate) exact: bool,
}
pub(crate) trait SegmentView {
    fn row(&self, id: &PointId) -> Option<u32>;
    fn vector_rows(&self, name: &str) -> Option<RoaringBitmap>;
}
pub(crate) fn candidates(_: &Filter, _: &FieldIndexes, _: &dyn SegmentView, _: u32) -> Option<Candidates> {
    None
}
