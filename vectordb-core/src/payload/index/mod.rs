use crate::error::*;
use crate::model::config::FieldSchema;
use crate::model::payload::*;
use crate::model::query::OrderValue;
use std::collections::BTreeMap;
#[derive(Debug)]
pub(crate) struct FieldIndexes;
#[derive(Debug)]
pub(crate) struct FieldIndex;
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct OrderKey;
impl OrderKey {
    pub(crate) fn to_json(self) -> Value {
        Value::Null
    }
}
impl FieldIndex {
    pub(crate) fn ordered(&self, _: bool, _: Option<OrderValue>) -> Box<dyn Iterator<Item = (OrderKey, u32)> + '_> {
        Box::new(std::iter::empty())
    }
}
impl FieldIndexes {
    pub(crate) fn new(_: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        Ok(Self)
    }
    pub(crate) fn add(&mut self, _: u32, _: &Payload) {}
    pub(crate) fn encode(&self) -> Vec<u8> {
        vec![]
    }
    pub(crate) fn decode(_: &[u8], _: &BTreeMap<String, FieldSchema>) -> Result<Self> {
        Ok(Self)
    }
    pub(crate) fn memory_bytes(&self) -> usize {
        0
    }
    pub(crate) fn points_with_values(&self, _: &PayloadPath) -> u64 {
        0
    }
    pub(crate) fn field(&self, _: &PayloadPath) -> Option<&FieldIndex> {
        None
    }
}
