"""Report: results become tables, figures and one page that stands alone."""
