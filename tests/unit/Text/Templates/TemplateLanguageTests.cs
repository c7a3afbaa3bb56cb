using System.Text.Json.Nodes;
using Granary.Text.Templates;

namespace Granary.Tests.Unit.Text.Templates;

/// <summary>What each construct of a template renders to; the expected texts are those of Jinja 3.1.6, set up as Transformers sets it up.</summary>
public sealed class TemplateLanguageTests
{
    private const string Variables = """
        {
            "tree": [{"v": 1, "c": [{"v": 2, "c": [{"v": 3}]}, {"v": 4}]}, {"v": 5}],
            "ms": [{"role": "user", "content": "a", "n": 1}, {"role": "system", "content": "b", "name": "s", "n": 2}, {"role": "user", "content": "c", "n": 3}]
        }
        """;

    public static TheoryData<string, string> Loops => new()
    {
        { "{% for n in tree recursive %}{{ n.v }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}", "1(2(3)4)5" },
        { "{% for n in tree recursive %}{{ loop.depth }}{{ loop.depth0 }}{% if n.c %}[{{ loop(n.c) }}]{% endif %}{% endfor %}", "10[21[32]21]10" },
        { "{% for x in [1,1,2,2,1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}", "121" },
        { "{% for x in range(5) %}{{ loop.cycle('a','b') }}{% endfor %}", "ababa" },
        { "{% for x in 'abc' %}{{ loop.previtem | default('-') }}{{ x }}{{ loop.nextitem | default('-') }} {% endfor %}", "-ab abc bc- " },
        { "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% elif x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "0134" },
        { "{% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ k }}={{ v }}{% else %}none{% endfor %}", "b=2" },
        { "{% for x in [] %}{{ x }}{% else %}empty{% endfor %}", "empty" },
        { "{% for x in [3,1,2] %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex }}{{ loop.first }}{{ loop.last }};{% endfor %}", "1/3 3TrueFalse;2/3 2FalseFalse;3/3 1FalseTrue;" },
    };

    public static TheoryData<string, string> Blocks => new()
    {
        { "{% set t %}a{{ 1 + 1 }}b{% endset %}{{ t }}{{ t | length }}", "a2b3" },
        { "{% set t | upper | trim %}  abc {% endset %}[{{ t }}]", "[ABC]" },
        { "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21" },
        { "{% macro m(x, y=2) %}{{ x }}{{ y }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 3, 4, z=5) }}", "12(){}13(4,){'z': 5}" },
        { "{% macro box(w) %}<{{ w }}|{{ caller('c') }}>{% endmacro %}{% call(x) box('w') %}body {{ x }}{% endcall %}", "<w|body c>" },
        { "{% macro list(xs) %}{% for x in xs %}{{ caller(x, loop.index) }},{% endfor %}{% endmacro %}{% call(x, i) list([7,8]) %}{{ i }}:{{ x }}{% endcall %}", "1:7,2:8," },
        { "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False" },
        { "{% filter upper %}abc{{ 'd' }}{% endfilter %}", "ABCD" },
        { "{% raw %}{{ not }} {% this %}{% endraw %}", "{{ not }} {% this %}" },
        { "{% set ns = namespace(n=0, s='x') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns.s }}", "6x" },
        { "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1" },
        { "{% set c = cycler('odd', 'even') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() or '' }}{{ c.current }}", "oddevenoddevenodd" },
        { "{% set j = joiner('; ') %}{% for x in [1,2,3] %}{{ j() }}{{ x }}{% endfor %}", "1; 2; 3" },
    };

    public static TheoryData<string, string> WhiteSpace => new()
    {
        { "a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc" },
        { "a\n  {%- if true -%}\n  b\n  {%- endif -%}\n  c", "abc" },
        { "  {%+ if true %}x{% endif %}", "  x" },
        { "{% if true +%}\nx{% endif %}", "\nx" },
        { "a  {{- ' b ' -}}  c", "a b c" },
        { "a {#- comment -#} b", "ab" },
        { "a\n{# comment #}\nb\n", "a\nb" },
        { "x {%- raw -%}  {{ y }}  {%- endraw -%} z", "x{{ y }}z" },
        { "a\n\n{%- set b = 1 %}\n\nc\n\n", "a\nc\n" },
    };

    public static TheoryData<string, string> TextFilters => new()
    {
        { "{{ 'a b/c?d=é&e' | urlencode }}", "a%20b/c%3Fd%3D%C3%A9%26e" },
        { "{{ {'a b': 'c/d', 'e': 1} | urlencode }}", "a+b=c%2Fd&e=1" },
        { "{{ [('x', 1), ('y', 'z z')] | urlencode }}", "x=1&y=z+z" },
        { "{{ '%s-%s' | format(1, 'b') }}", "1-b" },
        { "{{ 'hello world' | title }}{{ 'hELLO' | capitalize }}", "Hello WorldHello" },
        { "{{ '  x ' | trim }}{{ 'xxaxx' | trim('x') }}", "xa" },
        { "{{ 'abcdefghij klmno' | truncate(10) }}|{{ 'abcdefghij klmno' | truncate(10, true, '..', 0) }}", "abcdefg...|abcdefgh.." },
        { "{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width='> ', blank=true) }}", "a\n    b\n\n    c|  a\n  b|a\n> \n> b" },
        { "{{ 'aXbXc' | replace('X', '-') }}{{ 'aXbXc' | replace('X', '-', 1) }}", "a-b-ca-bXc" },
        { "{{ 'one two  three' | wordcount }}", "3" },
        { "[{{ 'ab' | center(7) }}]", "[   ab  ]" },
        { "{{ '<a href=\"x\">&</a>' | escape }}{{ \"it's\" | e }}", "&lt;a href=&#34;x&#34;&gt;&amp;&lt;/a&gt;it&#39;s" },
        { "{{ 1 | filesizeformat }}, {{ 999 | filesizeformat }}, {{ 1234567 | filesizeformat }}, {{ 1536 | filesizeformat(true) }}", "1 Byte, 999 Bytes, 1.2 MB, 1.5 KiB" },
        { "{{ {'b': [1, 'x'], 'a': none} | pprint }}", "{'a': None, 'b': [1, 'x']}" },
        { "{{ 'abc' | upper | lower | length }}{{ 'abc' | reverse }}{{ 'abc' | list }}", "3cba['a', 'b', 'c']" },
        { "{{ 3.7 | int }}{{ '12' | int }}{{ 'x' | int(5) }}{{ 'ff' | int(0, 16) }}{{ '1.5' | float }}{{ -3 | abs }}{{ 2.567 | round(2) }}{{ 2.1 | round(0, 'ceil') }}", "31252551.532.573.0" },
    };

    public static TheoryData<string, string> ListFilters => new()
    {
        { "{{ [1,2,3,4,5,6,7] | batch(3) | list }}{{ [1,2,3,4] | batch(3, 0) | list }}", "[[1, 2, 3], [4, 5, 6], [7]][[1, 2, 3], [4, 0, 0]]" },
        { "{{ [1,2,3,4,5,6,7] | slice(3) | list }}{{ [1,2,3,4] | slice(3, 'x') | list }}", "[[1, 2, 3], [4, 5], [6, 7]][[1, 2], [3, 'x'], [4, 'x']]" },
        { "{{ ms | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') }}", "a, c" },
        { "{{ ms | rejectattr('role', 'in', ['user']) | list | length }}{{ ms | selectattr('name') | list | length }}", "11" },
        { "{{ ms | map(attribute='name', default='?') | join }}{{ ['a','b'] | map('upper') | join('-') }}{{ [1,2] | map('string') | list }}", "?s?A-B['1', '2']" },
        { "{{ [1,2,3,4] | select('odd') | list }}{{ [1,2,3,4] | reject('divisibleby', 2) | list }}{{ [0,1,''] | select | list }}", "[1, 3][1, 3][1]" },
        { "{{ ['b','A','c'] | sort }}{{ ['b','A','c'] | sort(true, true) }}{{ ms | sort(attribute='role') | map(attribute='role') | list }}", "['A', 'b', 'c']['c', 'b', 'A']['system', 'user', 'user']" },
        { "{{ {'b': 1, 'A': 2} | dictsort }}{{ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true) }}", "[('A', 2), ('b', 1)][('a', 2), ('b', 1)]" },
        { "{{ [1,2,1,3,2] | unique | list }}{{ ['a','A'] | unique | list }}", "[1, 2, 3]['a']" },
        { "{% for r, g in ms | groupby('role') %}{{ r }}:{{ g | length }} {% endfor %}", "system:1 user:2 " },
        { "{{ [1,5,3] | max }}{{ [1,5,3] | min }}{{ [1,5,3] | sum }}{{ ms | sum(attribute='n', start=10) }}", "51916" },
        { "{{ [1,2,3] | first }}{{ [1,2,3] | last }}{{ [] | first is undefined }}{{ [3,2] | reverse | list }}{{ {'a':1} | items | list }}", "13True[2, 3][('a', 1)]" },
        { "{{ missing | default('d') }}{{ '' | default('d', true) }}{{ none | d('x') }}", "ddNone" },
    };

    public static TheoryData<string, string> Json => new()
    {
        { "{{ {'b': [1, 2.5, true, none], 'a': 'é\"\\n'} | tojson }}", "{\"b\": [1, 2.5, true, null], \"a\": \"é\\\"\\n\"}" },
        { "{{ {'b': 1, 'a': {}} | tojson(indent=2) }}{{ [] | tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": {}\n}[]" },
        { "{{ {'b': 1, 'a': 'é'} | tojson(sort_keys=true, ensure_ascii=true) }}", "{\"a\": \"\\u00e9\", \"b\": 1}" },
        { "{{ {'b': 1, 'a': [1,2]} | tojson(separators=(',', ':')) }}", "{\"b\":1,\"a\":[1,2]}" },
        { "{{ 1e20 | tojson }}{{ 0.1 | tojson }}{{ 1.0 | tojson }}{{ 1e-7 | tojson }}", "1e+200.11.01e-07" },
    };

    public static TheoryData<string, string> Expressions => new()
    {
        { "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % -3 }}{{ 2 ** 10 }}{{ 7 / 2 }}{{ 'a' ~ 1 ~ none }}{{ 'ab' * 2 }}{{ [1] + [2] }}", "3-4-210243.5a1Noneabab[1, 2]" },
        { "{{ 1 < 2 < 3 }}{{ 1 if false }}{{ 'x' if 1 else 'y' }}{{ not 1 == 2 }}{{ 1 in [1] }}{{ 'b' not in 'abc' }}", "TruexTrueTrueFalse" },
        { "{{ 'hello'[1:3] }}{{ 'hello'[::-1] }}{{ [1,2,3][-1] }}{{ [1,2,3][5] is undefined }}{{ (1,) }}{{ {'a': 1}['a'] }}{{ {'a': {'b': 2}}.a.b }}", "elolleh3True(1,)12" },
        { "{{ 1 is odd }}{{ 2 is even }}{{ 9 is divisibleby 3 }}{{ 'a' is string }}{{ 1 is number }}{{ 1.0 is float }}{{ true is boolean }}{{ none is none }}{{ {} is mapping }}{{ [] is sequence }}{{ x is not defined }}{{ 1 is sameas 1 }}{{ 'a' is lower }}{{ 2 is gt 1 }}{{ 1 is in [1] }}{{ range is callable }}{{ 'upper' is filter }}{{ 'odd' is test }}", "TrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrue" },
        { "{{ 'a-b-c'.split('-') }}{{ ' a b '.split() }}{{ 'a-b-c'.rsplit('-', 1) }}{{ 'abc'.startswith('a') }}{{ 'x'.join(['1','2']) }}{{ 'Ab'.swapcase() }}{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=') }}{{ 'ab'.partition('=') }}", "['a', 'b', 'c']['a', 'b']['a-b', 'c']True1x2aB('a', '=', 'b=c')('a=b', '=', 'c')('ab', '', '')" },
        { "{{ 'a{}c{}'.format(1, 2) }}{{ '%s %d%%' % ('x', 3) }}{{ 'abc'.find('c') }}{{ 'aba'.count('a') }}{{ '7'.zfill(3) }}{{ 'xay'.strip('xy') }}{{ 'prefix'.removeprefix('pre') }}", "a1c2x 3%22007afix" },
        { "{{ dict(a=1, **{'b': 2}) }}{{ {'a': 1}.get('b', 3) }}{{ {'a': 1}.keys() | list }}{{ {'a': 1}.values() | list }}{{ range(1, 7, 2) | list }}", "{'a': 1, 'b': 2}3['a'][1][1, 3, 5]" },
        { "{{ 1_000 }}{{ 1.5e3 }}{{ 'a' 'b' }}{{ '\\u00e9\\x41\\n' | length }}{{ true and 0 or 'z' }}{{ [1, 'a', none, true, 1.5, (1, 2), {'k': \"v'\"}] }}", "10001500.0ab3z[1, 'a', None, True, 1.5, (1, 2), {'k': \"v'\"}]" },
    };

    [Theory]
    [MemberData(nameof(Loops))]
    [MemberData(nameof(Blocks))]
    [MemberData(nameof(WhiteSpace))]
    [MemberData(nameof(TextFilters))]
    [MemberData(nameof(ListFilters))]
    [MemberData(nameof(Json))]
    [MemberData(nameof(Expressions))]
    public void Render_Construct_GivesWhatJinjaGives(string template, string expected) =>
        Assert.Equal(expected, ChatTemplate.Parse(template).Render(JsonNode.Parse(Variables)!.AsObject()));
}
