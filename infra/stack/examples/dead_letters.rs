//! Redrives many dead letters of the queue model and checks that none was missed: `dead_letters [LETTERS] [RATE]`.
//!
//! The time of the calls and of the rate is virtual. The exit code is 1 if a letter was missed or moved twice.
#![allow(clippy::print_stdout)]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use onewrite_stack::{
    dead_letter::{DeadLetter, MessageRules},
    dead_letter_queue::{
        interrupt::NEVER,
        judge::Judge,
        memory::{Letter, MemoryQueue},
        redrive::{EndReason, LetterResult, Redrive},
    },
};

/// One of this many letters is rejected and stays in the dead-letter queue.
const REJECTED: u64 = 20;

fn letter(number: u64) -> Letter {
    let end = if number.is_multiple_of(REJECTED) {
        ""
    } else {
        "}"
    };
    Letter {
        body: format!(r#"{{"notification_id":"n-{number}","payload":{{"amount":1}}{end}"#),
        group: None,
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(Some(default), |text| text.parse().ok())
    };
    let (Some(letters), Some(rate)) = (number(1_000_000), number(100)) else {
        println!("usage: dead_letters [LETTERS] [RATE]");
        return ExitCode::from(2);
    };
    tokio::time::pause();
    let queue = MemoryQueue::new(letters, false, letter);
    let judge = Judge {
        rules: MessageRules::default(),
        ids: [].into(),
    };
    let redrive = Redrive {
        judge: &judge,
        selects: |letter: &DeadLetter| !letter.reason.is_rejection(),
        at_most: usize::MAX,
        rate: u32::try_from(rate).unwrap_or(u32::MAX),
        started_at: Timestamp::now(),
        is_interrupted: NEVER,
    };
    let (start, virtual_start) = (Instant::now(), tokio::time::Instant::now());
    let (mut moved, mut stayed) = (0, 0);
    let end = redrive.run(&queue, |_, result| match result {
        LetterResult::Moved(_) => moved += 1,
        _ => stayed += 1,
    });
    let end = end.await;
    let virtual_time = Duration::from_secs(virtual_start.elapsed().as_secs());
    println!("{moved} moved, {stayed} left alone, {end:?}");
    println!(
        "{virtual_time:?} at {rate} a second, in {:.1?} of this machine",
        start.elapsed()
    );
    println!(
        "{} in flight at most, {} KB of memory at most",
        queue.most_in_flight(),
        peak_memory()
    );
    let is_complete = matches!(end.reason, EndReason::NoMore)
        && (moved, stayed) == expected(letters)
        && is_moved_once(&queue, letters);
    println!(
        "{}",
        if is_complete {
            "complete"
        } else {
            "INCOMPLETE"
        }
    );
    ExitCode::from(u8::from(!is_complete))
}

/// How many letters must be moved and must stay.
fn expected(letters: u64) -> (u64, u64) {
    let stays = letters.div_ceil(REJECTED);
    (letters - stays, stays)
}

/// Whether the letters that must be moved were moved once, and the others are visible again.
fn is_moved_once<L: Fn(u64) -> Letter + Send + Sync>(queue: &MemoryQueue<L>, letters: u64) -> bool {
    let sent = queue.sent();
    let (moved, stays) = expected(letters);
    let counts = (sent.len() as u64, queue.count_visible() as u64);
    counts == (moved, stays) && sent.values().all(|times| *times == 1)
}

/// The peak memory of this process on Linux, including the model; elsewhere zero.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0)
}
