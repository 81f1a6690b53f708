//! The names of the planted bugs.

macro_rules! bugs {
    ($($bug:ident, $name:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug {
            /// The simple handlers without a bug.
            Nothing,
            $($bug),*
        }

        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$bug),*];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    Self::Nothing => "none",
                    $(Self::$bug => $name),*
                }
            }
        }
    };
}

bugs! {
    Unconditional, "ingest: writes without the condition";
    CheckThenAct, "ingest: reads the table, then writes without a condition";
    FingerprintIgnored, "ingest: does not compare fingerprints";
    ConflictAcknowledged, "ingest: acknowledges a conflict";
    MalformedAcknowledged, "ingest: acknowledges a malformed message";
    AcknowledgedBeforeWrite, "ingest: acknowledges a message whose write failed";
    PanicFailsBatch, "ingest: a panic fails the whole batch";
    PanicSwallowed, "ingest: acknowledges a message whose handler panicked";
    FifoContinues, "ingest: continues a FIFO group after a failure";
    NullIdentifiers, "ingest: accepts a message without an id";
    IngestIgnoresDeadline, "ingest: ignores the deadline";
    PoisonDeferred, "ingest: defers a malformed message";
    DeferredAcknowledged, "ingest: acknowledges a deferred message";
    IdTruncated, "ingest: truncates the notification id";
    PayloadRewritten, "ingest: re-serialises the payload";
    ExpiresInInit, "ingest: sets a TTL on an item in INIT";
    LimitBeforeCompression, "ingest: checks the size of an item before compression";
    BinaryFingerprintOnly, "ingest: compares fingerprints in their binary form only";
    EntryFailuresDropped, "forward: ignores failed entries of PutRecords";
    RetryOvertakes, "forward: publishes a later event of an id before retrying the earlier one";
    SameIdInOneCall, "forward: sends two events of one id in one PutRecords call";
    ReportsHighest, "forward: reports the highest failed sequence number";
    ReportsFirstSeen, "forward: reports the failure that was seen first";
    PassesUnpublished, "forward: moves the checkpoint past an unpublished record";
    UnreadableBlocks, "forward: an unreadable record blocks its shard";
    ModifyDropped, "forward: drops MODIFY events";
    RemovalPublished, "forward: publishes an event for a REMOVE";
    ForwardIgnoresDeadline, "forward: ignores the deadline";
    RedriveChangesId, "forward: changes the event id of a redrive";
    WrongPartitionKey, "forward: uses a constant partition key";
    InflatedTruncated, "forward: truncates what it decompresses at the size of an item";
    InflatedUnreadable, "forward: takes what decompresses to more than an item for unreadable";
    AbsentRedrivesChanged, "forward: takes absent redrives for a change of them";
    FirstRedriveSkipped, "forward: skips the first redrive of an item, which had no redrives";
    NeverShrinks, "forward: never makes a call smaller whose outcome is unknown";
    UnconfirmedRemembered, "forward: remembers a change as published although its call failed";
    ConfirmedById, "forward: remembers published changes by their event ids";
    ConfirmedByPlace, "forward: remembers published changes by their places in the batch";
    ConfirmedForgotten, "forward: forgets what it has published";
    DoneUnconditional, "complete: writes DONE without a condition";
    BackToInit, "complete: sets a DONE item back to INIT";
    TextFingerprintRefused, "complete: compares fingerprints in their binary form only";
    LoserNamed, "complete: stores its name although another consumer settled the notification";
    ClockInCondition, "complete: compares wall clocks in a condition";
    EffectOutsideTransaction, "complete: commits the effect outside the transaction of DONE";
    ReusedIdIgnored, "complete: does not compare the fingerprint, so that an event settles a later notification";
    FaultRefused, "complete: takes a fault of the downstream for a refusal";
    RefusalRetried, "complete: retries a refusal";
    ForbiddenRefused, "complete: takes a 403 of a receiver for a refusal";
    BusyAccepted, "complete: takes the answer of a busy receiver for an acceptance";
    BusyContinued, "complete: calls a busy receiver again in the batch";
    BusyEndsBatch, "complete: ends the batch although only one of its receivers is busy";
    HighestAfterStop, "complete: reports the highest record after a receiver was busy";
    BreakerStaysOpen, "complete: never closes a circuit breaker";
    OneTargetSuffices, "complete: writes DONE although one of two targets failed";
    AcceptanceForgotten, "complete: calls a target again that has accepted";
    AcceptedById, "complete: remembers acceptances by id only";
    SettledById, "complete: remembers settled notifications by id only";
    StateUnchecked, "complete: does not check the state before it calls a receiver";
    StateStale, "complete: checks an old state";
    StateFingerprintIgnored, "complete: checks the state without comparing the fingerprint";
    Latest, "mapping: starts at LATEST instead of TRIM_HORIZON";
    ChildBeforeParent, "mapping: reads a child shard before its parent";
    RedrivesInitOnly, "operator: redrives items in INIT only, never events of DONE";
    RedrivesExcluded, "operator: redrives items that its rule excludes";
}
