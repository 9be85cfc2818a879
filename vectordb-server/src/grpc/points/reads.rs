//! Points as they are, and sums over them.

use vectordb_core::DistanceMatrix;
use vectordb_service::Result;

use super::super::call::Call;
use super::super::convert::{point, query};
use crate::wire;

pub(super) fn get(call: &Call<'_>, message: wire::GetPoints) -> Result<wire::GetResponse> {
    let options = call.reading(&message.collection_name, message.shard_key_selector, message.timeout, message.read_consistency)?;
    let ids = point::point_ids(message.ids)?;
    let payload = point::payload_selector(message.with_payload, true);
    let vectors = point::vector_selector(message.with_vectors);
    let records = call.service.retrieve(&message.collection_name, &ids, &payload, &vectors, &options, call.access)?;
    Ok(wire::GetResponse { result: records.into_iter().map(point::record).collect(), ..Default::default() })
}

pub(super) fn scroll(call: &Call<'_>, mut message: wire::ScrollPoints) -> Result<wire::ScrollResponse> {
    let options = call.reading(&message.collection_name, message.shard_key_selector.take(), message.timeout, message.read_consistency)?;
    let collection = std::mem::take(&mut message.collection_name);
    let page = call.service.scroll(&collection, query::scroll_request(message)?, &options, call.access)?;
    Ok(wire::ScrollResponse {
        next_page_offset: page.next_offset.as_ref().map(point::point_id_out),
        result: page.records.into_iter().map(point::record).collect(),
        ..Default::default()
    })
}

pub(super) fn count(call: &Call<'_>, message: wire::CountPoints) -> Result<wire::CountResponse> {
    let options = call.reading(&message.collection_name, message.shard_key_selector, message.timeout, message.read_consistency)?;
    let filter = query::optional(message.filter)?;
    let exact = message.exact.unwrap_or(true);
    let count = call.service.count(&message.collection_name, filter.as_ref(), exact, &options, call.access)?;
    Ok(wire::CountResponse { result: Some(wire::CountResult { count }), ..Default::default() })
}

pub(super) fn facet(call: &Call<'_>, mut message: wire::FacetCounts) -> Result<wire::FacetResponse> {
    let options = call.reading(&message.collection_name, message.shard_key_selector.take(), message.timeout, message.read_consistency)?;
    let collection = std::mem::take(&mut message.collection_name);
    let hits = call.service.facet(&collection, query::facet_request(message)?, &options, call.access)?;
    let hits = hits.into_iter().map(|hit| wire::FacetHit { value: query::facet_value(hit.value), count: hit.count });
    Ok(wire::FacetResponse { hits: hits.collect(), ..Default::default() })
}

fn matrix(call: &Call<'_>, mut message: wire::SearchMatrixPoints) -> Result<DistanceMatrix> {
    let options = call.reading(&message.collection_name, message.shard_key_selector.take(), message.timeout, message.read_consistency)?;
    let collection = std::mem::take(&mut message.collection_name);
    call.service.distance_matrix(&collection, query::matrix_request(message)?, &options, call.access)
}

pub(super) fn matrix_pairs(call: &Call<'_>, message: wire::SearchMatrixPoints) -> Result<wire::SearchMatrixPairsResponse> {
    let matrix = matrix(call, message)?;
    let pair = |(a, b, score)| wire::SearchMatrixPair { a: Some(point::point_id_out(a)), b: Some(point::point_id_out(b)), score };
    let pairs = matrix.pairs().map(pair).collect();
    Ok(wire::SearchMatrixPairsResponse { result: Some(wire::SearchMatrixPairs { pairs }), ..Default::default() })
}

pub(super) fn matrix_offsets(call: &Call<'_>, message: wire::SearchMatrixPoints) -> Result<wire::SearchMatrixOffsetsResponse> {
    let matrix = matrix(call, message)?;
    let mut out = wire::SearchMatrixOffsets { ids: matrix.ids.iter().map(point::point_id_out).collect(), ..Default::default() };
    for (row, entries) in matrix.rows.iter().enumerate() {
        for &(col, score) in entries {
            out.offsets_row.push(row as u64);
            out.offsets_col.push(col as u64);
            out.scores.push(score);
        }
    }
    Ok(wire::SearchMatrixOffsetsResponse { result: Some(out), ..Default::default() })
}
