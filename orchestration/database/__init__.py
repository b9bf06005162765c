"""The application's database: sessions, transactions, errors in sentences, SQL files."""
