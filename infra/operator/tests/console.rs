//! `onewrite console` as a process: its address, who may use it, and when it ends.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

const OUTPUTS: [&str; 8] = [
    "NotificationQueueUrl",
    "DeadLetterQueueUrl",
    "NotificationTableName",
    "NotificationStreamName",
    "FailureBucketName",
    "IngestFunctionName",
    "ForwardFunctionName",
    "CompleteFunctionName",
];

/// The response of `DescribeStacks`.
fn description() -> String {
    let output = |name| {
        format!(
            "<member><OutputKey>{name}</OutputKey><OutputValue>http://x/{name}</OutputValue></member>"
        )
    };
    let outputs: String = OUTPUTS.map(output).concat();
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>onewrite</StackName><CreationTime>2026-11-28T10:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
}

/// An emulator that knows a stack. It gives every request the same answer, until the test ends.
fn emulator() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    url
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let text = description();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all((head + &text).as_bytes());
}

struct Console {
    child: Child,
    address: String,
    token: String,
}

impl Console {
    /// Starts a console and reads its first line.
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let emulator = emulator();
        let mut child = Command::new(env!("CARGO_BIN_EXE_onewrite"))
            .args([
                "--region",
                "us-east-1",
                "--endpoint-url",
                &emulator,
                "console",
            ])
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("Console: http://")
            .unwrap_or_else(|| panic!("{line}"));
        let (address, token) = address.split_once("/#token=").unwrap();
        let (address, token) = (address.to_owned(), token.to_owned());
        // Whatever else it prints must not block it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self {
            child,
            address,
            token,
        }
    }

    /// The status and the body of a request.
    fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let status = response[9..12].parse().unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// The exit code, if it ends within five seconds: many times what it needs, for a busy machine.
    fn exit_code(&mut self) -> Option<i32> {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn is_read_only_by_default_and_needs_its_token() {
    let console = Console::start(&[], &[]);
    assert!(
        console.address.starts_with("127.0.0.1:"),
        "{}",
        console.address
    );
    let (status, about) = console.get("/api/about", &console.token);
    assert_eq!(status, 200, "{about}");
    assert_eq!(about["stack"], "onewrite");
    assert_eq!(
        (&about["allows_changes"], &about["has_lab"]),
        (&false.into(), &false.into())
    );
    let command = about["command"].as_str().unwrap();
    assert!(
        command.starts_with("onewrite --region us-east-1 --endpoint-url"),
        "{command}"
    );
    assert_eq!(console.get("/api/about", "guess").0, 401);
    let other = Console::start(&["--allow-changes"], &[]);
    assert_ne!(other.token, console.token);
    assert_eq!(
        other.get("/api/about", &other.token).1["allows_changes"],
        true
    );
}

#[test]
fn a_child_of_a_local_stack_has_a_lab_and_ends_with_its_input() {
    let lab = [
        ("ONEWRITE_LAB_URL", "http://127.0.0.1:9"),
        ("ONEWRITE_LAB_TOKEN", "secret"),
    ];
    let mut console = Console::start(&[], &lab);
    let (_, about) = console.get("/api/about", &console.token);
    assert_eq!(
        (&about["allows_changes"], &about["has_lab"]),
        (&true.into(), &true.into())
    );
    drop(console.child.stdin.take());
    assert_eq!(console.exit_code(), Some(0));
}

/// Ctrl-C, `kill`, and a terminal that closes.
#[test]
fn ends_at_a_signal_while_a_page_is_open() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut console = Console::start(&[], &[]);
        // Not a child: it stays when its input closes.
        drop(console.child.stdin.take());
        let mut page = TcpStream::connect(&console.address).unwrap();
        let request = format!(
            "GET /api/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            console.address, console.token
        );
        page.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(page.try_clone().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        assert!(console.child.try_wait().unwrap().is_none());
        let process = nix::unistd::Pid::from_raw(console.child.id() as i32);
        nix::sys::signal::kill(process, signal).unwrap();
        assert_eq!(console.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn names_a_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_onewrite"))
        .args(["--region", "us-east-1", "--endpoint-url", &emulator()])
        .args(["console", "--port", &port])
        .env_clear()
        .current_dir("/")
        .envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("port {port} of 127.0.0.1: ")),
        "{stderr}"
    );
    assert!(stderr.contains("help: use another --port"), "{stderr}");
}
