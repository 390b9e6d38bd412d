//! A process that is this program again, told by its environment to be something else. It says that it is ready, answers every line on
//! its standard input with one line of JSON, and ends with its input.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The process as its parent has it.
pub struct Child {
    pub process: std::process::Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts it; [`Self::ready`] waits until it serves.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            stdin,
            stdout,
        }
    }

    pub fn ready(&mut self) {
        assert_eq!(self.line()["ready"], true);
    }

    /// Gives an order; the answer to it.
    pub fn ask(&mut self, order: &str) -> Value {
        writeln!(self.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.line()
    }

    /// The next line of JSON; what a test harness prints besides is passed over.
    fn line(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "the process has ended"
            );
            let object = line.find('{').unwrap_or(0);
            let json = serde_json::from_str(&line);
            if let Ok(value) = json.or_else(|_| serde_json::from_str(&line[object..])) {
                return value;
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends with its input; one that does not is ended.
        self.stdin = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In the child: says that it is ready, and gives what it is asked, line by line.
pub fn serve() -> mpsc::Receiver<String> {
    println!("{}", json!({"ready": true}));
    let (lines, asked) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    asked
}
