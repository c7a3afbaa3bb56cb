namespace Granary.Sharding.Links;

/// <summary>How activations are written on a link.</summary>
public enum WireFormat
{
    /// <summary>As they are.</summary>
    Float32,

    /// <summary>Rounded to half precision; what is beyond its range becomes its largest value.</summary>
    Float16,

    /// <summary>Blocks of 32 columns of a row, each with its largest magnitude as one float and 8 bits a value.</summary>
    Int8,
}
