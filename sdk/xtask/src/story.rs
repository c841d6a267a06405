//! What the demo tells, on the terminal and, when asked for, as a picture of it: an SVG of the very lines that were printed.

use crate::{shown, wherry};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Stdio;

/// Pixels of a character and of a line at the picture's font size.
const CHARACTER: f64 = 7.8;
const LINE: usize = 18;
const MARGIN: usize = 16;
/// Characters of a line in the picture.
const COLUMNS: usize = 112;

/// How much of a command's output the picture shows: its first and its last lines. The terminal shows all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub first: usize,
    pub last: usize,
}

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading,
    Text,
    Command,
    Output,
    Guest,
}

/// Lines with what they are.
#[derive(Default)]
pub struct Story {
    lines: Vec<(Kind, String)>,
}

impl Story {
    pub fn heading(&mut self, text: &str) {
        self.tell(Kind::Heading, text);
    }

    pub fn say(&mut self, text: &str) {
        self.tell(Kind::Text, text);
    }

    /// Lines of a guest's console.
    pub fn guest(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| self.tell(Kind::Guest, line));
    }

    /// Runs a `wherry` with these words and shows what it prints; its progress, on standard error, goes to the terminal
    /// only.
    pub fn wherry(&mut self, words: &[&str], cut: Cut) -> Result<()> {
        let line = format!("wherry {}", words.join(" "));
        self.tell(Kind::Command, &line);
        let mut command = wherry();
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        self.lines.extend(trimmed(&text, cut));
        if !output.status.success() {
            bail!("`{line}` ended with {}", output.status);
        }
        Ok(())
    }

    fn tell(&mut self, kind: Kind, text: &str) {
        match kind {
            Kind::Heading => println!("\n== {text} =="),
            Kind::Command => println!("$ {text}"),
            Kind::Text | Kind::Output => println!("{text}"),
            Kind::Guest => println!("  | {text}"),
        }
        self.lines.push((kind, text.to_owned()));
    }

    /// Writes the picture.
    pub fn record(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.svg()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", shown(path));
        Ok(())
    }

    fn svg(&self) -> String {
        let mut lines = Vec::new();
        for (kind, text) in &self.lines {
            let prefix = match kind {
                Kind::Heading if !lines.is_empty() => {
                    lines.push((Kind::Text, String::new()));
                    ""
                }
                Kind::Command => "$ ",
                Kind::Guest => "│ ",
                _ => "",
            };
            lines.push((*kind, format!("{prefix}{text}")));
        }
        let width = (COLUMNS as f64 * CHARACTER) as usize + 2 * MARGIN;
        let height = lines.len() * LINE + 2 * MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"13\">\n\
             <title>cargo xtask demo</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n"
        );
        for (number, (kind, text)) in lines.iter().enumerate() {
            let (fill, weight) = kind.look();
            let y = MARGIN + (number + 1) * LINE - 5;
            let text = escaped(text);
            svg.push_str(&format!(
                "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{fill}\"{weight} xml:space=\"preserve\">{text}</text>\n"
            ));
        }
        svg + "</svg>\n"
    }
}

impl Kind {
    /// Colour and weight in the picture.
    fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Heading => ("#79c0ff", " font-weight=\"bold\""),
            Self::Command => ("#f0f6fc", " font-weight=\"bold\""),
            Self::Text => ("#8b949e", ""),
            Self::Output => ("#c9d1d9", ""),
            Self::Guest => ("#7ee787", ""),
        }
    }
}

/// An output's lines for the picture; what is left out in the middle is said.
fn trimmed(text: &str, cut: Cut) -> Vec<(Kind, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let left_out = lines.len().saturating_sub(cut.first + cut.last);
    let mut trimmed = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if left_out > 0 && number == cut.first {
            trimmed.push((Kind::Text, format!("… {left_out} more lines")));
        }
        if left_out == 0 || !(cut.first..cut.first + left_out).contains(&number) {
            trimmed.push((Kind::Output, (*line).to_owned()));
        }
    }
    trimmed
}

/// A line as text of an XML document: what XML cannot hold is left out, what the picture cannot hold is cut.
fn escaped(line: &str) -> String {
    let line = line.replace('\t', "    ");
    let mut text: String = line.chars().filter(|c| !c.is_control()).take(COLUMNS + 1).collect();
    if text.chars().count() > COLUMNS {
        text.pop();
        text.pop();
        text.push('…');
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut { first: 3, last: 2 };

    fn texts(count: usize) -> Vec<String> {
        let text: String = (0..count).map(|number| format!("line {number}\n")).collect();
        trimmed(&text, CUT).into_iter().map(|line| line.1).collect()
    }

    #[test]
    fn a_long_output_is_cut_in_its_middle_and_says_so() {
        assert_eq!(texts(9), ["line 0", "line 1", "line 2", "… 4 more lines", "line 7", "line 8"]);
        assert_eq!(texts(5), ["line 0", "line 1", "line 2", "line 3", "line 4"]);
        assert_eq!(texts(0), [""; 0]);
    }

    #[test]
    fn the_picture_is_xml() {
        let lines = [(Kind::Heading, "one"), (Kind::Guest, "<&>\u{1b}"), (Kind::Heading, "two")];
        let story = Story { lines: lines.map(|(kind, text)| (kind, text.to_owned())).into() };
        let svg = story.svg();
        assert_eq!(svg.matches("<text ").count(), 4, "an empty line stands before the second heading");
        assert!(svg.contains("│ &lt;&amp;&gt;</text>"), "{svg}");
    }

    #[test]
    fn a_wide_line_is_cut_and_says_so() {
        assert_eq!(escaped(&"x".repeat(COLUMNS)), "x".repeat(COLUMNS));
        assert_eq!(escaped(&"x".repeat(COLUMNS + 5)), "x".repeat(COLUMNS - 1) + "…");
    }
}
