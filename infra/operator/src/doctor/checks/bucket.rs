//! Checks of the failure bucket.

use super::queues::TLS;
use crate::doctor::{
    check::{
        Breaks::GuaranteeOfPlace,
        Check, FAILURE_BUCKET,
        Level::Broken,
        Scope,
        Text::{Fixed, For},
        run,
    },
    finding::Finding,
    snapshot::StackSnapshot,
};

pub(super) fn findings(stack: &StackSnapshot) -> Vec<Finding> {
    let scope = Scope {
        stack,
        place: FAILURE_BUCKET,
    };
    let mut findings = run(CHECKS, scope, stack);
    if let Ok(policy) = &stack.bucket_policy {
        findings.extend(run(TLS, scope, policy));
    }
    findings
}

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
