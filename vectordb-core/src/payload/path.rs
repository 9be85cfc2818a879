use crate::error::Result;
use crate::model::payload::{Payload, PayloadPath};
use crate::model::point::PayloadSelector;
pub(crate) fn set(_: &mut Payload, _: &PayloadPath, _: Payload) {}
pub(crate) fn overwrite(_: &mut Payload, _: &PayloadPath, _: Payload) {}
pub(crate) fn delete(_: &mut Payload, _: &PayloadPath) {}
pub(crate) fn select(p: &Payload, _: &PayloadSelector) -> Result<Payload> {
    Ok(p.clone())
}
