//! Charts as SVG: a title, two axes, curves with names.

use std::path::Path;

use plotters::prelude::*;
use thiserror::Error;

/// One chart.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) curves: Vec<Curve>,
}

/// Points with a name.
pub(super) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    joined: bool,
}

impl Curve {
    /// Points that are joined.
    pub(super) fn line(name: &str, points: Vec<(f64, f64)>) -> Curve {
        Curve {
            name: name.to_owned(),
            points,
            joined: true,
        }
    }

    /// Points by themselves.
    pub(super) fn points(name: &str, points: Vec<(f64, f64)>) -> Curve {
        Curve {
            joined: false,
            ..Curve::line(name, points)
        }
    }
}

/// Why a chart is not there.
#[derive(Debug, Error)]
pub(super) enum DrawError {
    /// The file or its directory.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The drawing itself.
    #[error("{0}")]
    Drawing(String),
}

impl Chart<'_> {
    /// Writes the chart to a file.
    pub(super) fn write(&self, path: &Path) -> Result<(), DrawError> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(DrawError::Drawing)?;
        Ok(std::fs::write(path, svg)?)
    }

    fn draw(&self, svg: &mut String) -> Result<(), String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|error| failed(&error))?;
        let (x, y) = (self.range(|point| point.0), self.range(|point| point.1));
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(x, y)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .draw()
            .map_err(|error| failed(&error))?;
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let points = curve.points.iter().copied();
            let series = match curve.joined {
                true => chart.draw_series(LineSeries::new(points, colour.stroke_width(2))),
                false => {
                    chart.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))
                }
            };
            series
                .map_err(|error| failed(&error))?
                .label(&curve.name)
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
            .map_err(|error| failed(&error))?;
        root.present().map_err(|error| failed(&error))
    }

    /// From the least to the greatest value, with a twentieth more at each end.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> std::ops::Range<f64> {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(of);
        let (least, greatest) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        let more = ((greatest - least) / 20.0).max(1e-9);
        least - more..greatest + more
    }
}

/// Pixels.
const SIZE: (u32, u32) = (900, 560);
