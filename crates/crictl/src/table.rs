//! Tables as crictl prints them: columns at least 20 wide with three spaces between, the last one
//! not filled up.

/// The least width of a column and the spaces after its longest cell.
const WIDTH: usize = 20;
const PADDING: usize = 3;

/// Lays out rows in crictl's usual columns.
pub fn table(rows: &[Vec<String>]) -> String {
    columns(rows, WIDTH)
}

/// Lays out rows in columns of this width at least, the spaces included.
pub fn columns(rows: &[Vec<String>], least: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count() + PADDING).max().unwrap_or_default().max(least)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                let width = widths.get(column).copied().unwrap_or_default();
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["A".to_owned(), "B".into()], vec!["é".repeat(20), String::new()]];
        let expected = format!("A{}B\n{}{}\n", " ".repeat(22), "é".repeat(20), " ".repeat(3));
        assert_eq!(table(&rows), expected);
        assert_eq!(columns(&[vec!["x:".into(), "y".into()]], 10), "x:        y\n");
    }
}
