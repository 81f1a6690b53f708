//! The log of changes: when, what, how many, and from whose console. Never a payload, and no token.

use std::{
    collections::VecDeque,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    lab::Action,
    view::{Filter, Kind, Preview},
};

/// How many previews the log remembers, to name them when they are applied.
const PREVIEWS: usize = 64;

/// The longest text of a filter in a line, in characters.
const LONGEST_TEXT: usize = 64;

/// Takes one line without its end.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Writes lines to stderr. Errors are ignored: the terminal may be gone.
#[must_use]
pub fn stderr_log() -> LogSink {
    Arc::new(|line| {
        let _ = writeln!(std::io::stderr(), "{line}");
    })
}

/// The user who runs this process: the name, or the number if the machine knows no name.
#[must_use]
pub fn machine_user() -> String {
    let id = nix::unistd::getuid();
    match nix::unistd::User::from_uid(id) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {id}"),
    }
}

pub(crate) struct ChangeLog {
    sink: LogSink,
    user: String,
    /// The newest previews: token and description.
    previews: Mutex<VecDeque<(String, String)>>,
}

impl ChangeLog {
    pub(crate) fn new(sink: LogSink, user: &str) -> Self {
        Self {
            sink,
            user: shown(user),
            previews: Mutex::default(),
        }
    }

    /// Remembers what a preview selects.
    pub(crate) fn remember(&self, filter: &Filter, preview: &Preview) {
        let description = describe(preview.kind, filter, preview.entries.len());
        let mut previews = self.previews.lock().unwrap_or_else(PoisonError::into_inner);
        if previews.len() == PREVIEWS {
            previews.pop_front();
        }
        previews.push_back((preview.token.clone(), description));
    }

    /// What a preview selects, in words.
    pub(crate) fn description(&self, token: &str) -> String {
        let previews = self.previews.lock().unwrap_or_else(PoisonError::into_inner);
        previews
            .iter()
            .rfind(|(one, _)| one == token)
            .map_or_else(|| "an unknown preview".to_owned(), |(_, text)| text.clone())
    }

    /// Writes one line about a change.
    pub(crate) fn write(&self, what: &str) {
        let Self { sink, user, .. } = self;
        let now = Timestamp::now();
        sink(&format!("{now:.0} {what}, from the console of {user}"));
    }
}

/// A text of the user in one line of printable characters, cut if it is long.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST_TEXT).collect();
    let mark = if cut.len() < text.len() { "..." } else { "" };
    format!("{}{mark}", cut.escape_debug())
}

fn describe(kind: Kind, filter: &Filter, count: usize) -> String {
    let what = match kind {
        Kind::DeadLetters => "dead letters",
        Kind::Pending => "pending items",
        Kind::FailureBucket => "failed batches",
        Kind::Refused => "refused notifications",
    };
    let older = filter.older_than_millis.map(|age| age.0.to_string());
    let ids = Some(filter.ids.len()).filter(|count| *count > 0);
    let parts = [
        ("type", filter.notification_type.as_deref().map(shown)),
        ("reason", filter.reason.as_deref().map(shown)),
        ("older than milliseconds", older),
        ("selected ids", ids.map(|count| count.to_string())),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value?)))
        .collect();
    format!("{count} {what} ({})", parts.join(", "))
}

/// What a button of the lab does, in words.
pub(crate) fn describe_action(action: &Action) -> String {
    match action {
        Action::Send { count } => format!("sends {count} messages"),
        Action::SendLines { lines } => format!("sends {} lines of a file", lines.len()),
        Action::SendDuplicates => "sends duplicates".to_owned(),
        Action::SendConflict => "sends a conflict".to_owned(),
        Action::SendPoison => "sends a malformed message".to_owned(),
        Action::SetFault { fault, count } => format!("sets the fault {fault:?} to {count}"),
        Action::Pause => "pauses the event sources".to_owned(),
        Action::Resume => "resumes the event sources".to_owned(),
        Action::StartGuided { .. } => "starts the guided run".to_owned(),
        Action::StopGuided => "stops the guided run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Count;

    #[test]
    fn the_user_is_the_one_of_the_process() {
        let output = std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap();
        let name = String::from_utf8(output.stdout).unwrap();
        assert_eq!(machine_user(), name.trim());
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_is_cut() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        let long = "x".repeat(500);
        assert_eq!(shown(&long), format!("{}...", &long[..LONGEST_TEXT]));
    }

    #[test]
    fn a_description_names_count_and_filter() {
        let filter = Filter {
            notification_type: Some("order".to_owned()),
            reason: Some("conflict".to_owned()),
            older_than_millis: Some(Count(60_000)),
            ids: vec!["1".to_owned(), "2".to_owned()],
        };
        assert_eq!(
            describe(Kind::DeadLetters, &filter, 3),
            "3 dead letters (type order, reason conflict, older than milliseconds 60000, selected ids 2)"
        );
    }

    #[test]
    fn the_log_remembers_a_bounded_number_of_previews() {
        let log = ChangeLog::new(Arc::new(|_| ()), "me");
        for number in 0..=PREVIEWS {
            let preview = Preview {
                token: number.to_string(),
                kind: Kind::Pending,
                entries: Vec::new(),
                command: String::new(),
                notes: Vec::new(),
            };
            log.remember(&Filter::default(), &preview);
        }
        assert_eq!(log.previews.lock().unwrap().len(), PREVIEWS);
        assert_eq!(log.description("0"), "an unknown preview");
        assert_eq!(log.description("1"), "0 pending items ()");
    }
}
