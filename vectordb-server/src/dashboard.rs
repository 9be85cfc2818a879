//! The dashboard: pages that ask the REST API of the server they came from, held by the program itself.
//!
//! They are plain modules (preact and htm, unchanged, in `ui/vendor`), so that nothing has to be built, and load nothing from
//! anywhere else, which their security policy also says. Here are the files alone; a door serves them.

/// What browsers may do on these pages: ask this server, and nobody else.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the dashboard.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    /// Its path below `/dashboard/`.
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! pages {
    ($($name:literal $content_type:expr;)*) => {
        [$(Page { name: $name, content_type: $content_type, text: include_str!(concat!("../ui/", $name)) },)*]
    };
}

static PAGES: [Page; 17] = pages! {
    "index.html" HTML;
    "docs.html" HTML;
    "style.css" "text/css; charset=utf-8";
    "icon.svg" "image/svg+xml";
    "app.js" SCRIPT;
    "api.js" SCRIPT;
    "parts.js" SCRIPT;
    "overview.js" SCRIPT;
    "collection.js" SCRIPT;
    "search.js" SCRIPT;
    "projection.js" SCRIPT;
    "pca.js" SCRIPT;
    "cluster.js" SCRIPT;
    "docs.js" SCRIPT;
    "vendor/htm-preact.js" SCRIPT;
    "vendor/NOTICE.txt" "text/plain; charset=utf-8";
    "vendor/htm-LICENSE.txt" "text/plain; charset=utf-8";
};

/// The file of a path below `/dashboard/`; an empty path is the dashboard itself.
pub(crate) fn page(name: &str) -> Option<&'static Page> {
    let name = if name.is_empty() { "index.html" } else { name };
    PAGES.iter().find(|page| page.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_small_and_load_nothing_from_elsewhere() {
        let bytes: usize = PAGES.iter().map(|page| page.text.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
        for page in PAGES.iter().filter(|page| !page.name.starts_with("vendor/")) {
            let strange = page.text.split("http").skip(1).find(|rest| rest.starts_with("://") || rest.starts_with("s://"));
            // The name space of SVG is no address that anybody asks.
            assert!(strange.is_none_or(|rest| rest.starts_with("://www.w3.org/2000/svg")), "{}: http{strange:?}", page.name);
        }
    }

    #[test]
    fn modules_import_only_what_is_there() {
        for page in PAGES.iter().filter(|page| page.content_type == SCRIPT) {
            for import in page.text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next()) {
                assert!(super::page(import).is_some(), "{} imports {import}", page.name);
            }
        }
        assert_eq!(super::page(""), super::page("index.html"));
        assert_eq!(super::page("../Cargo.toml"), None);
    }
}
