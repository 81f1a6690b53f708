"""Answers every question of `sam deploy --guided` with Enter, on a pseudo-terminal. Runs in the environment of the SAM CLI.

    guided.py TEMPLATE DIRECTORY

Its AWS endpoint refuses connections, so the command ends at its first call. Prints what the command printed, and fails if the
command asks more questions than a template can have.
"""

import os
import pty
import shutil
import signal
import socket
import sys

# CloudFormation allows 200 parameters. The command asks a few questions more.
MOST_QUESTIONS = 250


def environment(port, directory):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    return inherited | {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_CONFIG_FILE": os.path.join(directory, "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": os.path.join(directory, "no-aws-credentials"),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
        "SAM_CLI_TELEMETRY": "0",
        "TERM": "dumb",
        "COLUMNS": "200",
    }


def answer(terminal, pid):
    """Presses Enter at each prompt. Returns the output and the number of questions."""
    output, unanswered, questions = b"", b"", 0
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the command has ended
            return output, questions
        if not read:
            return output, questions
        output += read
        unanswered += read
        if unanswered.endswith(b": "):
            questions += 1
            if questions > MOST_QUESTIONS:
                os.kill(pid, signal.SIGKILL)
                return output, questions
            os.write(terminal, b"\n")
            unanswered = b""


def main():
    template, directory = sys.argv[1:]
    for file in (template, os.path.join(os.path.dirname(template), "samconfig.toml")):
        shutil.copy(file, directory)
    # Bound, but not listening: nobody else gets the port, and connections to it are refused.
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))
    sam = os.path.join(os.path.dirname(sys.executable), "sam")
    variables = environment(refusing.getsockname()[1], directory)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(directory)
        os.execve(sam, [sam, "deploy", "--guided", "--template-file", os.path.basename(template)], variables)
    output, questions = answer(terminal, pid)
    os.waitpid(pid, 0)
    sys.stdout.buffer.write(output)
    sys.exit(questions > MOST_QUESTIONS)


if __name__ == "__main__":
    main()
