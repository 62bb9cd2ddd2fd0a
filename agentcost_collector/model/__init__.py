"""The nouns: table schemas, ids, money, units, reasons and errors. Imports nothing of ours."""
