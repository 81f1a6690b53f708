use super::*;

fn stream(kind: StreamKind, shards: u64) -> Stream {
    Stream::new(StreamSettings::new(kind), shards, 0)
}

fn put(stream: &mut Stream, now: Millis, key: &str) -> (String, String) {
    stream.put(now, key, |shard, number| format!("{shard} {number}"))
}

/// Reads all records of a shard.
fn all(stream: &mut Stream, now: Millis, shard: &str) -> Vec<String> {
    let mut numbers = Vec::new();
    let mut iterator = stream.iterator(now, shard, &Position::TrimHorizon).ok();
    for _ in 0..1_000 {
        let Some(at) = iterator else {
            return numbers;
        };
        let read = stream.read(now, &at, 10_000).unwrap();
        numbers.extend(
            read.records
                .into_iter()
                .map(|record| record.sequence_number),
        );
        iterator = read.next;
    }
    numbers
}

#[test]
fn d5_each_record_is_in_the_stream_once_and_in_order() {
    let mut stream = stream(StreamKind::DynamoDb, 2);
    let mut put_to: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in 0..100 {
        let (shard, number) = put(&mut stream, n, &format!("key {}", n % 7));
        put_to.entry(shard).or_default().push(number);
    }
    assert_eq!(put_to.len(), 2);
    for (shard, numbers) in put_to {
        assert_eq!(all(&mut stream, 100, &shard), numbers);
    }
}

#[test]
fn d1_read_is_limited_by_records_and_bytes_and_may_be_empty() {
    let mut stream = stream(StreamKind::DynamoDb, 1);
    for n in 0..1_500 {
        put(&mut stream, n, "k");
    }
    let start = stream
        .iterator(0, "shardId-000000000000", &Position::TrimHorizon)
        .unwrap();
    assert_eq!(stream.read(0, &start, 10_000).unwrap().records.len(), 1_000);
    stream.settings.read_bytes = 100;
    let few = stream.read(0, &start, 10_000).unwrap().records;
    assert!(few.iter().map(|record| record.event.len()).sum::<usize>() <= 100);
    stream.settings.read_bytes = 1;
    assert_eq!(stream.read(0, &start, 10_000).unwrap().records.len(), 1);
    stream.settings.empty_one_in = 1;
    let nothing = stream.read(0, &start, 10_000).unwrap();
    assert_eq!((nothing.records.len(), nothing.next), (0, Some(start)));
}

#[test]
fn k4_split_or_merged_shard_closes_and_has_children() {
    let mut stream = stream(StreamKind::Kinesis, 1);
    let (parent, _) = put(&mut stream, 0, "a");
    let (low, high) = stream.split(1, &parent).unwrap();
    assert_eq!(stream.split(1, &parent), None);
    for n in 0..20 {
        let (shard, _) = put(&mut stream, 2, &format!("key {n}"));
        assert!(shard == low || shard == high);
    }
    let merged = stream.merge(3, &low, &high).unwrap();
    assert_eq!(put(&mut stream, 4, "a").0, merged);
    assert_eq!(stream.open_shards(), std::slice::from_ref(&merged));
    let parents: Vec<_> = stream
        .list(4)
        .into_iter()
        .map(|shard| shard.parents)
        .collect();
    assert_eq!(
        parents,
        [
            vec![],
            vec![parent.clone()],
            vec![parent.clone()],
            vec![low.clone(), high]
        ]
    );
    // The end of the parent is returned with its last records.
    let at = stream.iterator(4, &parent, &Position::TrimHorizon).unwrap();
    assert_eq!(stream.read(4, &at, 10).unwrap().next, None);
    // A closed shard is listed while its records are retained.
    assert_eq!(stream.list(4 + KINESIS_RETENTION).len(), 1);
}

#[test]
fn d19_trims_old_records_and_rejects_their_position() {
    let mut stream = stream(StreamKind::DynamoDb, 1);
    let (shard, old) = put(&mut stream, 0, "k");
    let iterator = stream.iterator(0, &shard, &Position::TrimHorizon).unwrap();
    let late = DYNAMODB_RETENTION + 1;
    let (_, young) = put(&mut stream, late, "k");
    stream.trim(late);
    assert_eq!(all(&mut stream, late, &shard), [young]);
    let after = Position::After(old);
    assert_eq!(
        stream.iterator(late, &shard, &after),
        Err(ReadError::Trimmed)
    );
    let iterator = Iterator {
        expires: late + 1,
        ..iterator
    };
    assert_eq!(
        stream.read(late, &iterator, 1).unwrap_err(),
        ReadError::Trimmed
    );
}

#[test]
fn d20_dynamodb_iterator_expires_after_15_minutes() {
    let mut stream = stream(StreamKind::DynamoDb, 1);
    let iterator = stream
        .iterator(0, "shardId-000000000000", &Position::Latest)
        .unwrap();
    let life = 15 * 60 * 1_000;
    assert!(stream.read(life - 1, &iterator, 1).is_ok());
    assert_eq!(
        stream.read(life, &iterator, 1).unwrap_err(),
        ReadError::Expired
    );
}

#[test]
fn k3_kinesis_iterator_expires_after_5_minutes() {
    let mut stream = stream(StreamKind::Kinesis, 1);
    for _ in 0..10_001 {
        put(&mut stream, 0, "k");
    }
    let iterator = stream
        .iterator(0, "shardId-000000000000", &Position::TrimHorizon)
        .unwrap();
    assert_eq!(
        stream.read(0, &iterator, 20_000).unwrap().records.len(),
        10_000
    );
    let life = 5 * 60 * 1_000;
    assert_eq!(
        stream.read(life, &iterator, 1).unwrap_err(),
        ReadError::Expired
    );
}

#[test]
fn k2_a_timestamp_is_the_first_record_at_or_after_it() {
    let mut stream = stream(StreamKind::Kinesis, 1);
    for now in [10, 20, 30] {
        put(&mut stream, now, "k");
    }
    for (at, count) in [(0, 3), (20, 2), (21, 1), (31, 0)] {
        let at = Position::AtTimestamp(at);
        let iterator = stream.iterator(40, "shardId-000000000000", &at).unwrap();
        assert_eq!(stream.read(40, &iterator, 10).unwrap().records.len(), count);
    }
}
