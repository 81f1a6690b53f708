//! Checks of the failure bucket.

use super::queues::TLS;
use crate::doctor::{
    check::{
        Breaks::{Guarantee, GuaranteeOfPlace},
        Check, FAILURE_BUCKET,
        Level::{Advice, Broken},
        Scope,
        Text::{Fixed, For},
        run,
    },
    finding::{Finding, Guarantee::Progress},
    fixes::UNDO_LIFECYCLE,
    snapshot::{Lifecycle, StackSnapshot},
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let scope = Scope {
        stack,
        place: FAILURE_BUCKET,
    };
    let mut findings = run(CHECKS, scope, stack);
    if let Ok(lifecycle) = &stack.bucket_lifecycle {
        findings.extend(run(LIFECYCLE, scope, lifecycle));
    }
    if let Ok(policy) = &stack.bucket_policy {
        findings.extend(run(TLS, scope, policy));
    }
    findings
}

const LIFECYCLE: &[Check<Lifecycle>] = &[Check {
    id: "bucket-lifecycle",
    severity: Advice,
    breaks: Guarantee(Progress),
    found: |_, lifecycle| match lifecycle {
        Lifecycle {
            expires_versions: true,
            expires_markers: true,
        } => None,
        Lifecycle {
            expires_versions: false,
            ..
        } => Some("no rule for old versions".to_owned()),
        Lifecycle { .. } => Some("no rule for delete markers".to_owned()),
    },
    needed: Fixed("NoncurrentVersionExpiration, and ExpiredObjectDeleteMarker in another rule"),
    why: "S3 counts old versions and delete markers, so the alarm stays on for months after a repair, and nobody believes it",
    fix: Fixed(UNDO_LIFECYCLE),
}];

const CHECKS: &[Check<StackSnapshot>] = &[
    Check {
        id: "encryption",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            (stack.bucket_encryption == Ok(None)).then(|| "no default encryption".to_owned())
        },
        needed: Fixed("AES256 or aws:kms"),
        why: "S3 stores payloads without the configured encryption",
        fix: For(|_, stack| {
            format!(
                "aws s3api put-bucket-encryption --bucket {} --server-side-encryption-configuration '{{\"Rules\": [{{\"ApplyServerSideEncryptionByDefault\": {{\"SSEAlgorithm\": \"AES256\"}}}}]}}'",
                stack.bucket_name
            )
        }),
    },
    Check {
        id: "public-access",
        severity: Broken,
        breaks: GuaranteeOfPlace,
        found: |_, stack| {
            let disabled = stack.disabled_access_blocks.as_ref().ok()?;
            (!disabled.is_empty()).then(|| format!("{} off", disabled.join(", ")))
        },
        needed: Fixed("all four settings of the public access block"),
        why: "a single policy or access control list can make payloads public",
        fix: For(|_, stack| {
            format!(
                "aws s3api put-public-access-block --bucket {} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
                stack.bucket_name
            )
        }),
    },
];
