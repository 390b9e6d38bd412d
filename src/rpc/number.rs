//! Floating-point numbers as Go prints them in JSON: the shortest digits that say the same, an exponent only below 1e-6 and
//! from 1e21 on. Clients that compare texts, or parse without exponents, see what they always saw.

use serde_json::value::RawValue;

/// The JSON of a number. There is none for infinity, which an envelope without a life would have: the largest number.
pub(crate) fn float(number: f64) -> Box<RawValue> {
    RawValue::from_string(text(number)).expect("a finite number is JSON")
}

fn text(number: f64) -> String {
    let number = if number.is_nan() {
        0.0
    } else {
        number.clamp(f64::MIN, f64::MAX)
    };
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_prints_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.2, "0.2"),
            (0.002, "0.002"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (0.09770992366412214, "0.09770992366412214"),
            (123456789.0, "123456789"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e22, "-2.5e+22"),
            (f64::INFINITY, "1.7976931348623157e+308"),
        ] {
            assert_eq!(text(number), expected);
            assert_eq!(float(number).get(), expected);
        }
    }
}
