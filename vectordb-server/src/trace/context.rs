//! The place of a request in a trace that may go through several programs (W3C Trace Context).

use std::cell::Cell;

/// The header, or the metadata, that says where a request comes from.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A trace, a step of it, and the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    /// None where the trace begins here.
    pub(super) parent: Option<u64>,
    /// Whether whoever began the trace keeps it.
    pub(super) sampled: bool,
}

thread_local! {
    static CURRENT: Cell<Option<Context>> = const { Cell::new(None) };
}

impl Context {
    /// The next step of the trace that a caller names, or the first of a new one.
    pub(crate) fn of(traceparent: Option<&str>) -> Self {
        let [span, trace] = [(); 2].map(|()| uuid::Uuid::new_v4());
        let span = span.as_u64_pair().1;
        match traceparent.and_then(parsed) {
            Some((trace, parent, sampled)) => Self { trace, span, parent: Some(parent), sampled },
            None => Self { trace: trace.as_u128(), span, parent: None, sampled: true },
        }
    }

    /// What is told to programs that are called on behalf of the request.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }

    /// Does something on behalf of the request, on this thread.
    pub(crate) fn scope<R>(self, work: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also after a panic.
        struct Before(Option<Context>);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _before = Before(CURRENT.replace(Some(self)));
        work()
    }

    /// The request on whose behalf this thread works.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.get()
    }
}

/// Trace, step, and whether it is kept.
fn parsed(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(part, 16).ok())?
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    // Later versions may say more behind that.
    let whole = version != 0 || parts.next().is_none();
    let good = version != 0xFF && trace != 0 && span != 0 && whole;
    good.then_some((trace, u64::try_from(span).ok()?, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_from_its_caller() {
        let context = Context::of(Some(GIVEN));
        assert_eq!((context.trace, context.parent), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, Some(0x00f0_67aa_0ba9_02b7)));
        let told = context.traceparent();
        assert_eq!((&told[..36], &told[53..], told.len()), (&GIVEN[..36], "01", 55));
        assert_ne!(told, GIVEN, "it is another step");
        assert!(!Context::of(Some(&GIVEN.replace("-01", "-00"))).sampled);
        assert!(Context::of(Some(&format!("{}-more", GIVEN.replacen("00", "01", 1)))).parent.is_some());
    }

    #[test]
    fn what_is_no_trace_begins_one() {
        for bad in [
            "",
            "00",
            &GIVEN[..54],
            &format!("{GIVEN}-more"),
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GIVEN.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(Context::of(Some(bad)).parent, None, "{bad}");
        }
        assert_ne!(Context::of(None).trace, Context::of(None).trace);
    }

    #[test]
    fn a_thread_works_for_one_request_at_a_time() {
        let (outer, inner) = (Context::of(None), Context::of(None));
        assert_eq!(Context::current(), None);
        outer.scope(|| {
            inner.scope(|| assert_eq!(Context::current(), Some(inner)));
            assert_eq!(Context::current(), Some(outer));
        });
        assert_eq!(Context::current(), None);
    }
}
