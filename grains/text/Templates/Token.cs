namespace Granary.Text.Templates;

internal enum TokenKind { Text, BlockBegin, BlockEnd, PrintBegin, PrintEnd, Name, String, Integer, Float, Operator, End }

/// <summary>One lexical unit of a template.</summary>
internal readonly record struct Token(TokenKind Kind, string Value, int Line);
