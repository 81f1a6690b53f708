//! The trace of a message as W3C `traceparent`, the form that items and events contain.

/// A W3C `traceparent`, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Parses a `traceparent` (W3C Trace Context, section 3.2). An invalid one never rejects a message: only the trace is
    /// lost.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, trace, parent, flags) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let valid = version == "00"
            && fields.next().is_none()
            && is_id(trace, 32)
            && is_id(parent, 16)
            && is_hex(flags, 2);
        valid.then(|| Self(text.to_owned()))
    }

    /// Parses the X-Ray header that SQS passes in the system attribute `AWSTraceHeader`
    /// (`Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0|1>`, in any order, other fields ignored).
    #[must_use]
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| {
            header
                .split(';')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let (epoch, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let parent = field("Parent")?;
        let flags = if field("Sampled") == Some("1") {
            "01"
        } else {
            "00"
        };
        (epoch.len() == 8).then_some(())?;
        Self::parse(&format!("00-{epoch}{unique}-{parent}-{flags}"))
    }

    /// Whether the trace is sampled (W3C Trace Context, section 3.2.2.5, flag `sampled`).
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = u8::from_str_radix(self.field(3), 16);
        flags.is_ok_and(|flags| flags & 1 == 1)
    }

    /// The trace id in X-Ray's format (X-Ray developer guide, "Sending trace data to X-Ray").
    #[must_use]
    pub fn xray_trace_id(&self) -> String {
        let (epoch, unique) = self.field(1).split_at(8);
        format!("1-{epoch}-{unique}")
    }

    /// The id of the caller's span.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        self.field(2)
    }

    fn field(&self, number: usize) -> &str {
        self.0.split('-').nth(number).unwrap_or_default()
    }

    /// The `traceparent` as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

    #[test]
    fn converts_an_xray_header() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0";
        assert_eq!(
            TraceParent::from_xray(header).unwrap().as_str(),
            TRACEPARENT
        );
        let unsampled =
            "Sampled=0; Parent=53995c3f42cd8ad8; Root=1-5759e988-bd862e3fe1be46a994272793";
        assert!(
            TraceParent::from_xray(unsampled)
                .unwrap()
                .as_str()
                .ends_with("-00")
        );
    }

    #[test]
    fn returns_the_parts_in_xray_format() {
        let trace = TraceParent::parse(TRACEPARENT).unwrap();
        assert!(trace.is_sampled());
        assert_eq!(trace.xray_trace_id(), "1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!(trace.parent_id(), "53995c3f42cd8ad8");
        let unsampled = TRACEPARENT.replace("-01", "-02");
        assert!(!TraceParent::parse(&unsampled).unwrap().is_sampled());
    }

    #[test]
    fn ignores_invalid_traces() {
        assert_eq!(
            TraceParent::parse(TRACEPARENT).unwrap().as_str(),
            TRACEPARENT
        );
        for broken in [
            "",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8",
            "00-5759E988BD862E3FE1BE46A994272793-53995c3f42cd8ad8-01",
            "00-00000000000000000000000000000000-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-extra",
            "ff-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
        ] {
            assert_eq!(TraceParent::parse(broken), None, "{broken}");
        }
        for broken in [
            "",
            "Root=1-5759e988-bd86",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Self=x",
            "Root=é",
        ] {
            assert_eq!(TraceParent::from_xray(broken), None, "{broken}");
        }
    }
}
