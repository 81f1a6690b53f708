//! `onewrite redrive dlq`: moves dead letters back to the queue.
//!
//! Without `--all`, the command decides for each message, by what is stored now. With `--all`, SQS moves all of them.

pub(crate) mod letters;
pub(crate) mod selection;
mod whole_queue;

use std::{process::ExitCode, sync::atomic::Ordering};

use clap::Args;
use jiff::Timestamp;
use onewrite_stack::{
    dead_letter_queue::{
        inspect::{self, Inspection, MAX_INSPECTED},
        judge::Judge,
        redrive::{EndReason, Redrive, RedriveEnd},
    },
    move_task,
};

use self::{
    letters::{DlqResult, LetterRedrive, Tally, not_judged},
    selection::Selection,
};
use crate::{
    arguments::DEFAULT_RATE,
    confirmation::Confirmation,
    context::Context,
    error::{FAILED, NOT_FOUND, OperatorError},
    format::duration,
    interrupt, progress,
    terminal::{JsonArray, Output, json, print},
};

/// The default of `--inspect`. A look at this many letters takes less than a minute.
const DEFAULT_INSPECTED: u32 = 10_000;

const NOTHING_TO_MOVE: &str = "Nothing to move.\n";

#[derive(Debug, Clone, Args)]
pub struct DlqArguments {
    #[command(flatten)]
    selection: Selection,
    /// Let SQS move all messages, whatever the reason for each. Up to 500 a second.
    #[arg(long, conflicts_with_all = ["ids", "reasons", "inspect"])]
    all: bool,
    /// Cancel the move that --all started. Moved messages stay in the queue.
    #[arg(long, conflicts_with_all = ["ids", "reasons", "inspect", "all", "rate", "apply", "yes"])]
    cancel: bool,
    /// Limit the messages per second. Default: 100, with --all 500.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Inspect at most this many messages before the question. Each inspection counts as a receive.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_INSPECTED,
        value_parser = clap::value_parser!(u32).range(1..=MAX_INSPECTED as i64)
    )]
    inspect: u32,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// The preview of a redrive.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Those that are left alone come first.
    pub letters: Vec<LetterRedrive>,
    pub tally: Tally,
    pub inspected: usize,
    pub not_inspected: usize,
}

/// Moves the selected dead letters, if confirmed, and prints the result of each.
///
/// # Errors
/// [`OperatorError`]: a call failed. The results until then are printed first.
pub async fn run(arguments: &DlqArguments, context: &Context) -> Result<ExitCode, OperatorError> {
    if arguments.cancel {
        return whole_queue::cancel(context).await;
    }
    if arguments.all {
        return whole_queue::run(arguments.rate, arguments.confirmation, context).await;
    }
    let is_applied = arguments.confirmation.is_apply()?;
    let judge = Judge {
        rules: context.stack.message_rules().await?,
        ids: arguments
            .selection
            .ids
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    if !is_applied {
        let plan = arguments.plan(&judge, context).await?;
        print(&match context.output {
            Output::Table => plan.lines() + &arguments.preview(&plan, &context.command),
            Output::Json => {
                eprint!("{}", plan.gap().unwrap_or_default());
                json(&plan.letters)
            }
        });
        return Ok(arguments.exit_code(&plan.tally, plan.not_inspected));
    }
    if arguments.confirmation.is_interactive() {
        let plan = arguments.plan(&judge, context).await?;
        if context.output == Output::Table {
            print(&plan.lines());
            print(&plan.sentences().concat());
        }
        if plan.is_empty() {
            print(&match context.output {
                Output::Table => NOTHING_TO_MOVE.to_owned(),
                Output::Json => json(&plan.letters),
            });
            return Ok(arguments.exit_code(&plan.tally, 0));
        }
        arguments.confirmation.ask(&plan.question())?;
    }
    arguments.apply(&judge, context).await
}

impl DlqArguments {
    /// Inspects the dead letters.
    async fn plan(&self, judge: &Judge, context: &Context) -> Result<Plan, OperatorError> {
        let bar = progress::bar("dead letters inspected:", None);
        let limit = self.inspect as usize;
        let interrupted = interrupt::on_ctrl_c();
        let is_interrupted = || interrupted.load(Ordering::Relaxed);
        let inspection = inspect::inspect(&context.stack, judge, limit, &is_interrupted, |count| {
            bar.inc(count);
        })
        .await;
        bar.finish_and_clear();
        let inspection = interrupt::cleaned_up(&interrupted, inspection)?;
        Ok(Plan::new(&self.selection, inspection))
    }

    /// Judges and moves letters until SQS returns no others.
    async fn apply(&self, judge: &Judge, context: &Context) -> Result<ExitCode, OperatorError> {
        let is_interrupted = interrupt::on_ctrl_c();
        let redrive = Redrive {
            judge,
            selects: |letter: &_| self.selection.selects(letter),
            at_most: usize::MAX,
            rate: self.rate.unwrap_or(DEFAULT_RATE),
            started_at: Timestamp::now(),
            is_interrupted: &|| is_interrupted.load(Ordering::Relaxed),
        };
        let bar = progress::bar("dead letters judged:", None);
        let mut tally = Tally::default();
        let mut array = JsonArray::default();
        // The plan before the question showed the letters that are left alone.
        let is_planned = self.confirmation.is_interactive();
        let on_letter = |letter, result| {
            bar.inc(1);
            let one = LetterRedrive::done(letter, result);
            tally.record(&one, &self.selection.ids);
            if !self.selection.shows(&one.letter) {
                return;
            }
            match context.output {
                Output::Json => print(&array.next(&one)),
                Output::Table if is_planned && one.outcome == DlqResult::LeftAlone => {}
                // The bar must not be drawn into the line.
                Output::Table => bar.suspend(|| print(&one.line())),
            }
        };
        let end = redrive.run(&context.stack, on_letter).await;
        bar.finish_and_clear();
        print(&match context.output {
            Output::Json => array.end(),
            Output::Table => self.summary(&tally, &end, &context.command),
        });
        if context.output == Output::Json
            && let Some(sentence) = not_judged(&end)
        {
            eprintln!("{sentence}");
        }
        match end.reason {
            EndReason::Failed(error) => Err(error.into()),
            EndReason::NoMore if end.not_judged == Some(0) => Ok(self.exit_code(&tally, 0)),
            _ => Ok(ExitCode::from(FAILED)),
        }
    }

    fn exit_code(&self, tally: &Tally, not_inspected: usize) -> ExitCode {
        let Some(id) = tally.find_missing(&self.selection.ids) else {
            return ExitCode::SUCCESS;
        };
        let inspected = if not_inspected > 0 {
            " that was inspected"
        } else {
            ""
        };
        eprintln!("{id} is in no dead letter{inspected}");
        ExitCode::from(NOT_FOUND)
    }

    /// The sentences below a preview. They end with the command that applies it.
    fn preview(&self, plan: &Plan, command: &str) -> String {
        let mut text = plan.sentences().concat();
        if plan.is_empty() {
            return text + NOTHING_TO_MOVE;
        }
        let pending = plan.tally.would_be_moved;
        text += &format!("{pending} would be moved; nothing was changed.\n");
        let letters = plan.inspected + plan.not_inspected;
        if letters > DEFAULT_INSPECTED as usize && self.selection.is_default() {
            let time = |rate| {
                let seconds = letters as u64 / u64::from(rate);
                duration(i64::try_from(seconds * 1_000).unwrap_or(i64::MAX))
            };
            let rate = self.rate.unwrap_or(DEFAULT_RATE);
            text += &format!(
                "Judging about {letters} letters takes about {} at {rate} a second. SQS moves all of them, whatever the reason for each, in about {}: {command} redrive dlq --all --apply\n",
                time(rate),
                time(move_task::MAX_RATE),
            );
        }
        text + &format!("Next: {command} redrive dlq{} --apply\n", self.flags())
    }

    /// The sentences below the results.
    fn summary(&self, tally: &Tally, end: &RedriveEnd, command: &str) -> String {
        let mut sentences = tally.staying();
        if self.confirmation.is_interactive() {
            // The plan has said so.
            sentences.retain(|sentence| !sentence.contains("--id or --reason"));
        }
        sentences.extend(not_judged(end));
        let moved = tally.moved + tally.copied;
        sentences.push(if moved > 0 {
            format!(
                "{moved} moved; each has a new message id and keeps its notification id. `{command} trace ID` shows the progress of one."
            )
        } else {
            NOTHING_TO_MOVE.trim_end().to_owned()
        });
        sentences.join("\n") + "\n"
    }

    /// The options, without the confirmation.
    fn flags(&self) -> String {
        let rate = self
            .rate
            .map_or_else(String::new, |rate| format!(" --rate {rate}"));
        self.selection.flags() + &rate
    }
}

impl Plan {
    /// Plans the redrive. With reasons, the plan contains only dead letters that have one of them.
    pub(crate) fn new(selection: &Selection, inspection: Inspection) -> Self {
        let mut tally = Tally::default();
        let mut letters = Vec::new();
        for letter in inspection.letters {
            let is_shown = selection.shows(&letter);
            let is_selected = selection.selects(&letter);
            let one = LetterRedrive::planned(letter, is_selected);
            tally.record(&one, &selection.ids);
            if is_shown {
                letters.push(one);
            }
        }
        letters.sort_by_key(|one| (one.outcome != DlqResult::LeftAlone, one.letter.sent_at));
        Self {
            letters,
            tally,
            inspected: inspection.inspected,
            not_inspected: inspection.not_inspected,
        }
    }

    fn lines(&self) -> String {
        self.letters.iter().map(LetterRedrive::line).collect()
    }

    fn question(&self) -> String {
        let pending = self.tally.would_be_moved;
        match self.not_inspected {
            0 => format!("Move {pending} messages?"),
            others => format!(
                "Move {pending} messages, and those of about {others} others that are selected?"
            ),
        }
    }

    /// What stays, and what was not inspected; one line each.
    fn sentences(&self) -> Vec<String> {
        let staying = self.tally.staying();
        let staying = staying.iter().map(|sentence| format!("{sentence}\n"));
        staying.chain(self.gap()).collect()
    }

    /// The line about letters that were not inspected; `None` if all were.
    fn gap(&self) -> Option<String> {
        let count = self.not_inspected;
        (count > 0).then(|| {
            format!(
                "About {count} letters were not inspected: they are beyond --inspect, in flight, or behind others of their message group.\n"
            )
        })
    }

    /// Whether no letter can be moved.
    fn is_empty(&self) -> bool {
        self.tally.would_be_moved == 0 && self.not_inspected == 0
    }
}

#[cfg(test)]
mod tests;
