pub(crate) struct Tokenizer;
impl Tokenizer {
    pub(crate) fn new(_: &crate::model::config::TextIndexParams) -> crate::error::Result<Self> {
        Ok(Self)
    }
}
